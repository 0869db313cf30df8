package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"clinsource/internal/corpus"
)

// The contract is what gen makes of its sources, to the byte, and making it
// again gives the same.
func TestTheContractIsUpToDate(t *testing.T) {
	root := corpus.Root(t)
	shipped, err := os.ReadFile(filepath.Join(root, contractFile))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		made, err := generate(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, shipped) {
			t.Fatalf("%s is not what its sources say (%s): run make generate", contractFile, firstDifference(shipped, made))
		}
	}
}

func firstDifference(a, b []byte) string {
	as, bs := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "it has " + strings.TrimSpace(as[i]) + " where they have " + strings.TrimSpace(bs[i])
		}
	}
	return "one is longer"
}

// schemaOf generates and gives one schema.
func schemaOf(t *testing.T, name string) map[string]any {
	t.Helper()
	made, err := generate(t.Context(), corpus.Root(t))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]map[string]any
		}
	}
	if err := yaml.Unmarshal(made, &document); err != nil {
		t.Fatal(err)
	}
	schema := document.Components.Schemas[name]
	if schema == nil {
		t.Fatalf("there is no schema %s", name)
	}
	return schema
}

func TestRequestSchema(t *testing.T) {
	upload := schemaOf(t, "UploadVitalsRequest")
	if upload["additionalProperties"] != false {
		t.Error("a request must be closed")
	}
	if required, ok := upload["required"]; ok {
		t.Errorf("required is %v: patient_id stands in the path, measurement_time may be given as text", required)
	}
	if _, ok := upload["anyOf"]; !ok {
		t.Error("measurement_time or source_time_text must be required")
	}
	enrol := schemaOf(t, "CreateSubjectRequest")
	if got, _ := yaml.Marshal(enrol["required"]); string(got) != "- site_id\n- patient_id\n" {
		t.Errorf("CreateSubjectRequest requires %s: patient_id does not stand in its path", got)
	}
	temperature := schemaOf(t, "TemperatureInput")["properties"].(map[string]any)
	for _, name := range []string{"canonical_celsius", "value_rounded"} {
		if temperature[name] != nil {
			t.Errorf("%s is the server's and must not be in a request", name)
		}
	}
	if schemaOf(t, "Temperature")["properties"].(map[string]any)["canonical_celsius"] == nil {
		t.Error("an answer has canonical_celsius")
	}
}

// Words come from the .proto files: units and ranges with them.
func TestWordsAreTheContracts(t *testing.T) {
	systolic := schemaOf(t, "BloodPressureInput")["properties"].(map[string]any)["systolic"].(map[string]any)
	if want := "mmHg, required, 30 to 300, greater than diastolic."; systolic["description"] != want {
		t.Errorf("systolic says %q, want %q", systolic["description"], want)
	}
	if systolic["type"] != "number" {
		t.Errorf("systolic is %v: a request may give decimals", systolic["type"])
	}
	if unit := schemaOf(t, "WeightUnit"); strings.Contains(unit["description"].(string), "UNSPECIFIED") {
		t.Error("UNSPECIFIED is refused and must not be offered")
	}
}

func TestOneSchemaCannotServeTwoPaths(t *testing.T) {
	var paths yaml.Node
	text := `
/a/{x}: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/M'}}}}, responses: {}}}
/b/{y}: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/M'}}}}, responses: {}}}
`
	if err := yaml.Unmarshal([]byte(text), &paths); err != nil {
		t.Fatal(err)
	}
	if _, err := completeOperations(paths.Content[0]); err == nil || !strings.Contains(err.Error(), "/b/{y}") {
		t.Errorf("got %v, want an error that names the second path", err)
	}
}

func TestAReferenceToNothingIsRefused(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(`{a: {$ref: '#/components/schemas/Nonsense'}}`), &document); err != nil {
		t.Fatal(err)
	}
	err := addSchemas(node(pairs{}), document.Content[0], comments{}, nil)
	if err == nil || !strings.Contains(err.Error(), "Nonsense") {
		t.Errorf("got %v, want an error that names the schema", err)
	}
}

// An operation is completed from its path and its first answer.
func TestOperationsAreCompleted(t *testing.T) {
	var paths yaml.Node
	text := `/a/{x}/{y}: {put: {security: [], parameters: [own], responses: {
  '201': {content: {application/json: {example: {id: 7, created: true}}}}, '200': {content: {application/json: {}}}}}}`
	if err := yaml.Unmarshal([]byte(text), &paths); err != nil {
		t.Fatal(err)
	}
	if _, err := completeOperations(paths.Content[0]); err != nil {
		t.Fatal(err)
	}
	operation := at(paths.Content[0], "/a/{x}/{y}", "put")
	var names []string
	for _, p := range child(operation, "parameters").Content {
		if target := child(p, "$ref"); target != nil {
			p = target
		}
		names = append(names, p.Value[strings.LastIndex(p.Value, "/")+1:])
	}
	if got := strings.Join(names, " "); got != "x y own X-Request-Id Accept-Language" {
		t.Errorf("the parameters are %s", got)
	}
	again := at(operation, "responses", "200", "content", "application/json", "example")
	if again == nil || child(again, "id").Value != "7" || child(again, "created").Value != "false" {
		t.Errorf("the answer to a resend shows %+v", again)
	}
	var statuses []string
	responses := child(operation, "responses")
	for i := 0; i < len(responses.Content); i += 2 {
		statuses = append(statuses, responses.Content[i].Value)
	}
	if got := strings.Join(statuses, " "); got != "200 201 400 500" { // No token: no 401, 403.
		t.Errorf("the answers are %s", got)
	}
}
