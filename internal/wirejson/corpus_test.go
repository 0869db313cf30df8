package wirejson_test

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"clinsource/internal/corpus"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"
)

type quantity struct {
	ValueQuantity struct {
		Value json.RawMessage `json:"value"`
	} `json:"valueQuantity"`
}

// Every number and time of the foreign observations comes back as it was
// written, whatever the typed fields can hold of it.
func TestSourceValuesOfTheCorpus(t *testing.T) {
	file, err := os.Open(corpus.Shared(t, "corpus", "clinical", "synthea", "vitals.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	numbers := 0
	scan := bufio.NewScanner(file)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var o struct {
			quantity
			Component []quantity      `json:"component"`
			Effective json.RawMessage `json:"effectiveDateTime"`
		}
		if err := json.Unmarshal(scan.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		for _, q := range append(o.Component, o.quantity) {
			if literal := string(q.ValueQuantity.Value); literal != "" {
				checkSource(t, literal, string(o.Effective))
				numbers++
			}
		}
	}
	if err := scan.Err(); err != nil || numbers < 500 {
		t.Errorf("%d numbers, %v", numbers, err)
	}
}

// checkSource sends one literal as an int32 and as a float with one time.
func checkSource(t *testing.T, literal, moment string) {
	t.Helper()
	m := empty("Upload")
	body := `{"measurement_time":` + moment + `,"blood_pressure":{"systolic":` + literal + `},"temperature":{"value":` + literal + `}}`
	if found := append(wirejson.Decode([]byte(body), m), sourcevalue.Complete(m)...); found != nil {
		t.Errorf("%s: %s", body, lines(found))
		return
	}
	var back struct {
		Text     string `json:"source_time_text"`
		Pressure struct {
			Systolic int32
			Entered  string `json:"systolic_entered"`
			Rounded  bool   `json:"systolic_rounded"`
		} `json:"blood_pressure"`
		Temperature struct {
			Value   float32
			Entered string `json:"value_entered"`
		}
	}
	answer := wirejson.Encode(m)
	if err := json.Unmarshal(answer, &back); err != nil {
		t.Fatal(err)
	}
	if back.Pressure.Entered != literal || back.Temperature.Entered != literal || `"`+back.Text+`"` != moment {
		t.Errorf("%s came back as %s", body, answer)
	}
	if want := !sourcevalue.SameNumber(literal, jsonOf(t, back.Pressure.Systolic)); back.Pressure.Rounded != want {
		t.Errorf("%s came back as %s", body, answer)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
