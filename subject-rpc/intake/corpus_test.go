package intake

import (
	"encoding/xml"
	"os"
	"testing"

	"clinsource/internal/corpus"
)

// Every unit that UCUM's own functional tests call valid is taken.
func TestForeignUnits(t *testing.T) {
	data, err := os.ReadFile(corpus.Shared(t, "corpus", "clinical", "ucum", "UcumFunctionalTests.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Cases []struct {
			Unit  string `xml:"unit,attr"`
			Valid bool   `xml:"valid,attr"`
		} `xml:"validation>case"`
	}
	if err := xml.Unmarshal(data, &tests); err != nil {
		t.Fatal(err)
	}
	valid := 0
	for _, c := range tests.Cases {
		if !c.Valid {
			continue
		}
		valid++
		expect(t, c.Unit, Judge(record(func(r *Record) { r.Dose.Unit = c.Unit }), now))
	}
	if valid < 300 {
		t.Fatalf("only %d valid units were read", valid)
	}
}
