package openapi

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"clinsource/internal/corpus"
)

// written is the contract as it lies there, without Parse's closing of objects.
func written(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus.Root(t), "project-api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// walk calls f with every object below v and its pointer.
func walk(pointer []string, v any, f func(pointer []string, o object)) {
	switch v := v.(type) {
	case object:
		f(pointer, v)
		for key, inner := range v {
			walk(append(slices.Clone(pointer), key), inner, f)
		}
	case []any:
		for i, inner := range v {
			walk(append(slices.Clone(pointer), fmt.Sprint(i)), inner, f)
		}
	}
}

func TestEveryReferenceResolves(t *testing.T) {
	c := &Contract{document: written(t)}
	n := 0
	walk(nil, c.document, func(pointer []string, o object) {
		target, ok := o["$ref"].(string)
		if !ok {
			return
		}
		n++
		if _, found := c.resolve(nil, o); !strings.HasPrefix(target, "#/") || found == nil {
			t.Errorf("%s: %s leads nowhere", strings.Join(pointer, "/"), target)
		}
	})
	if n < 200 {
		t.Errorf("saw %d references only", n)
	}
}

// Every component is used: one that is not has been forgotten, or should go.
func TestEveryComponentIsUsed(t *testing.T) {
	document := written(t)
	used := map[string]bool{}
	walk(nil, document, func(_ []string, o object) {
		if target, ok := o["$ref"].(string); ok {
			used[target] = true
		}
	})
	for _, kind := range []string{"parameters", "headers", "responses", "schemas"} {
		for name := range document["components"].(object)[kind].(object) {
			if !used["#/components/"+kind+"/"+name] && name != "MethodNotAllowed" { // Answers where there is no operation.
				t.Errorf("components.%s.%s is used nowhere", kind, name)
			}
		}
	}
}

func TestEverySchemaCompiles(t *testing.T) {
	compiler := compilerOf(t, written(t))
	n := 0
	for name := range written(t)["components"].(object)["schemas"].(object) {
		n++
		if _, err := compiler.Compile(resource + "#" + fragment([]string{"components", "schemas", name})); err != nil {
			t.Error(err)
		}
	}
	if n < 50 {
		t.Errorf("saw %d schemas only", n)
	}
}

func compilerOf(t *testing.T, document object) *jsonschema.Compiler {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(resource, document); err != nil {
		t.Fatal(err)
	}
	return compiler
}

// Examples are what developers copy. They are held against the schemas as Check
// closes them, so that an example names no field that is not there.
func TestEveryExampleIsValid(t *testing.T) {
	c := shipped(t)
	n := 0
	walk(nil, c.document, func(pointer []string, o object) {
		if slices.Contains(pointer, "example") || slices.Contains(pointer, "examples") || o["schema"] == nil {
			return
		}
		examples := map[string]any{}
		if example, ok := o["example"]; ok {
			examples["example"] = example
		}
		if several, ok := o["examples"].(object); ok {
			for name, said := range several {
				examples[name] = said.(object)["value"]
			}
		}
		for name, value := range examples {
			n++
			schema, err := c.schema(append(slices.Clone(pointer), "schema")...)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s, %s: %v", strings.Join(pointer, "/"), name, err)
			}
		}
	})
	if n < 45 {
		t.Errorf("saw %d examples only", n)
	}
}

// Every body has an example somewhere: of a request always, of an answer where it
// is the first of its kind.
func TestEveryRequestHasAnExample(t *testing.T) {
	walk(nil, written(t)["paths"], func(pointer []string, o object) {
		if len(pointer) == 0 || pointer[len(pointer)-1] != jsonType || !slices.Contains(pointer, "requestBody") {
			return
		}
		if o["example"] == nil && o["examples"] == nil {
			t.Errorf("%s has no example", strings.Join(pointer, "/"))
		}
	})
}

// Each operation says what it is, in an order that a reader finds again, and
// names every parameter of its path.
func TestEveryOperationIsDescribed(t *testing.T) {
	document := written(t)
	c := &Contract{document: document}
	tags, ids := map[string]bool{}, map[string]bool{}
	for _, tag := range document["tags"].([]any) {
		tags[tag.(object)["name"].(string)] = true
	}
	for template, item := range document["paths"].(object) {
		for _, method := range methods {
			op, ok := item.(object)[method].(object)
			if !ok {
				continue
			}
			name := strings.ToUpper(method) + " " + template
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s: the operationId %q is empty or another's", name, id)
			}
			ids[id] = true
			if summary, _ := op["summary"].(string); summary == "" {
				t.Errorf("%s has no summary", name)
			}
			for _, tag := range op["tags"].([]any) {
				if !tags[tag.(string)] {
					t.Errorf("%s: there is no tag %v", name, tag)
				}
			}
			checkPathParameters(t, name, template, c.parameters(template, op))
		}
	}
}

func checkPathParameters(t *testing.T, name, template string, parameters []object) {
	t.Helper()
	var want, got []string
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(template, -1) {
		want = append(want, m[1])
	}
	for _, p := range parameters {
		if p["in"] == "path" {
			got = append(got, p["name"].(string))
			if p["required"] != true {
				t.Errorf("%s: the path parameter %v must be required", name, p["name"])
			}
		}
		if p["description"] == nil || p["schema"] == nil {
			t.Errorf("%s: the parameter %v has no description or no schema", name, p["name"])
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s: the path has the parameters %v, the operation %v", name, want, got)
	}
}

// Every property of every schema says what it is; units and ranges stand there.
func TestEveryPropertyIsDescribed(t *testing.T) {
	schemas := written(t)["components"].(object)["schemas"].(object)
	for name, schema := range schemas {
		properties, _ := schema.(object)["properties"].(object)
		for property, v := range properties {
			said := v.(object)
			described := said["description"] != nil || said["$ref"] != nil || said["const"] != nil || said["items"] != nil || said["allOf"] != nil ||
				property == "sections"
			if !described {
				t.Errorf("%s.%s has no description", name, property)
			}
		}
	}
}
