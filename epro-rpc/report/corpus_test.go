package report

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"clinsource/internal/corpus"
)

// literals reads the JSON strings of one file of FHIR primitives.
func literals(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(corpus.Shared(t, "corpus", "clinical", "fhir-primitives", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var s string
		if json.Unmarshal(lines.Bytes(), &s) == nil && lines.Text() != "null" {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no strings", file)
	}
	return out
}

// What FHIR calls a malformed date or code is none here either. (FHIR's valid
// dates include whole months and years, which are no days.)
func TestForeignPrimitives(t *testing.T) {
	for _, s := range literals(t, "date.invalid.ndjson") {
		expect(t, "date "+s, Judge(submitted(number(Date, s)), now), "refuse date.malformed answers[0].date_value")
	}
	for _, s := range literals(t, "code.invalid.ndjson") {
		expect(t, "code "+s, Judge(submitted(choice("urn:x", s, "")), now), "refuse coding.code_malformed answers[0].coding_value.code")
	}
	for _, s := range literals(t, "code.valid.ndjson") {
		expect(t, "code "+s, Judge(submitted(choice("urn:x", s, "")), now))
	}
	for _, s := range literals(t, "uri.valid.ndjson") {
		expect(t, "uri "+s, Judge(submitted(choice(s, "x", "")), now))
	}
}

// item is what this test needs of a FHIR R4 QuestionnaireResponse.
type item struct {
	LinkID string
	Item   []item
	Answer []struct {
		ValueCoding  *Coding
		ValueInteger *json.Number
		ValueDecimal *json.Number
		ValueString  *string
		ValueDate    *string
		ValueBoolean *bool
		Item         []item
	}
}

func answersOf(items []item) []Answer {
	var out []Answer
	for _, it := range items {
		for _, a := range it.Answer {
			one := Answer{LinkID: it.LinkID}
			switch {
			case a.ValueCoding != nil:
				one.Kind, one.Coding = Choice, *a.ValueCoding
			case a.ValueInteger != nil:
				one.Kind, one.Value = Integer, a.ValueInteger.String()
			case a.ValueDecimal != nil:
				one.Kind, one.Value = Decimal, a.ValueDecimal.String()
			case a.ValueString != nil:
				one.Kind, one.Value = Text, *a.ValueString
			case a.ValueDate != nil:
				one.Kind, one.Value = Date, *a.ValueDate
			case a.ValueBoolean != nil:
				one.Kind, one.Value = Boolean, strconv.FormatBool(*a.ValueBoolean)
			}
			out = append(out, one)
			out = append(out, answersOf(a.Item)...)
		}
		out = append(out, answersOf(it.Item)...)
	}
	return out
}

// Reports that US Core publishes (PHQ-9, AUDIT-C, PRAPARE, ...) are taken as they
// are.
func TestForeignReports(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus.Shared(t, "corpus", "clinical", "us-core", "questionnaireresponse"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no reports", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var response struct{ Item []item }
		if err := json.Unmarshal(data, &response); err != nil {
			t.Fatal(err)
		}
		expect(t, filepath.Base(file), Judge(submitted(answersOf(response.Item)...), now))
	}
}
