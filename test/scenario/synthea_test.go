package scenario

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clinsource/internal/corpus"
)

// observation is what these stories need of a FHIR R4 Observation.
type observation struct {
	ID                string
	Code              concept
	Subject           struct{ Reference string }
	EffectiveDateTime string
	ValueQuantity     *quantity
	Component         []struct {
		Code          concept
		ValueQuantity *quantity
	}
}

type concept struct{ Coding []struct{ Code string } }

// quantity keeps the number as the simulator wrote it.
type quantity struct {
	Value json.Number
	Code  string
}

// has says whether the concept bears one of the codes.
func (c concept) has(codes ...string) bool {
	for _, coding := range c.Coding {
		if slices.Contains(codes, coding.Code) {
			return true
		}
	}
	return false
}

// single maps the LOINC codes of one number to its sign and field, the codes
// of body sites among them.
var single = []struct {
	sign, field string
	loinc       []string
}{
	{"temperature", "value", []string{"8310-5", "8331-1", "8328-7"}},
	{"heart_rate", "beats_per_minute", []string{"8867-4"}},
	{"respiratory_rate", "breaths_per_minute", []string{"9279-1"}},
	{"oxygen_saturation", "percent", []string{"2708-6", "59408-5"}},
	{"body_weight", "value", []string{"29463-7"}},
}

// unitName gives the contract's names of UCUM codes that a caller may choose.
var unitName = map[string]string{"Cel": "CELSIUS", "[degF]": "FAHRENHEIT", "kg": "KILOGRAM", "g": "GRAM", "[lb_av]": "POUND"}

// upload is one observation as the body of POST vitals; false if it is of no
// sign that we have.
func (o observation) upload() (sign string, body object, ok bool) {
	body = object{"client_record_id": o.ID, "measurement_time": o.EffectiveDateTime}
	if o.Code.has("55284-4", "85354-9") {
		pressure := object{}
		for _, c := range o.Component {
			switch {
			case c.Code.has("8480-6"):
				pressure["systolic"] = c.ValueQuantity.Value
			case c.Code.has("8462-4"):
				pressure["diastolic"] = c.ValueQuantity.Value
			}
		}
		body["blood_pressure"] = pressure
		return "blood_pressure", body, true
	}
	for _, s := range single {
		if !o.Code.has(s.loinc...) || o.ValueQuantity == nil {
			continue
		}
		value := object{s.field: o.ValueQuantity.Value}
		if unit := unitName[o.ValueQuantity.Code]; unit != "" {
			value["unit"] = unit
		}
		body[s.sign] = value
		return s.sign, body, true
	}
	return "", nil, false
}

// synthea reads the observations of our signs by subject, in the file's order:
// 766 lines made by a simulator that nobody here wrote.
func synthea(t *testing.T) map[string][]observation {
	t.Helper()
	file, err := os.Open(corpus.Shared(t, "corpus", "clinical", "synthea", "vitals.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	subjects, n := map[string][]observation{}, 0
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := o.upload(); ok {
			subjects[o.Subject.Reference] = append(subjects[o.Subject.Reference], o)
			n++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if n < 300 || len(subjects) < 30 {
		t.Fatalf("only %d observations of %d subjects", n, len(subjects))
	}
	return subjects
}

// eachSubject runs f for each subject, eight at once, in sub-tests by number.
func eachSubject(t *testing.T, subjects map[string][]observation, f func(t *testing.T, all []observation)) {
	t.Helper()
	places := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(subjects)) {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(fmt.Sprintf("subject %d", i+1), func(t *testing.T) { f(t, subjects[name]) })
		})
	}
	wg.Wait()
}

// Every observation that a foreign simulator made is taken, once however often
// it is sent, and comes back as it came, character for character.
// Shows R16.
func TestForeignVitalsComeBackAsTheyCame(t *testing.T) {
	w := newWorld(t)
	subjects := synthea(t)
	total := 0
	for _, all := range subjects {
		total += len(all)
	}
	eachSubject(t, subjects, func(t *testing.T, all []observation) {
		_, path := w.subject(t, "s1")
		sent := map[string]observation{}
		for _, o := range all {
			_, body, _ := o.upload()
			created := w.admin.post(t, path+"/vitals", body).want(t, 201)
			again := w.admin.post(t, path+"/vitals", body).want(t, 200)
			if created["record_id"] != again["record_id"] || created["record_id"] == "" {
				t.Fatalf("sent twice, the record is %v and %v", created["record_id"], again["record_id"])
			}
			sent[o.ID] = o
		}
		listed := pages(t, w.admin, path+"/vitals", "records", 7)
		checkOrder(t, listed)
		if whole := pages(t, w.admin, path+"/vitals", "records", 1000); !slices.Equal(ids(listed), ids(whole)) {
			t.Fatalf("pages of 7 give another order than one of 1000:\n%v\n%v", ids(listed), ids(whole))
		}
		for _, record := range listed {
			o, ok := sent[fmt.Sprint(record["client_record_id"])]
			if !ok {
				t.Fatalf("listed twice, or never sent: %v", record["client_record_id"])
			}
			delete(sent, o.ID)
			o.check(t, record)
		}
		if len(sent) > 0 {
			t.Fatalf("%d of %d uploads are not in the list", len(sent), len(all))
		}
	})
	view := w.admin.get(t, w.path).want(t, 200)["sections"].(object)["vitals"].(object)["data"].(object)
	const counts = "%v records of %v subjects"
	if got, want := fmt.Sprintf(counts, view["count"], view["subjects"]), fmt.Sprintf(counts, total, len(subjects)); got != want {
		t.Errorf("the project view counts %s, want %s", got, want)
	}
	t.Logf("%d observations of %d subjects", total, len(subjects))
}

// check holds a listed record against its observation: the texts, and nothing
// that was not sent.
func (o observation) check(t *testing.T, record object) {
	t.Helper()
	if got := record["source_time_text"]; got != o.EffectiveDateTime {
		t.Errorf("the time came back as %v, it was %s", got, o.EffectiveDateTime)
	}
	sign, body, _ := o.upload()
	got, _ := record[sign].(object)
	for name, want := range body[sign].(object) {
		if name != "unit" {
			name += "_entered"
		}
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			t.Errorf("%s.%s came back as %v, it was %v", sign, name, got[name], want)
		}
	}
	for _, s := range []string{"blood_pressure", "temperature", "heart_rate", "respiratory_rate", "oxygen_saturation", "body_weight"} {
		if s != sign && record[s] != nil {
			t.Errorf("a record of %s holds %s too", sign, s)
		}
	}
	if (sign == "blood_pressure") != (record["blood_pressure_category"] != nil) {
		t.Errorf("a record of %s has the blood pressure category %v", sign, record["blood_pressure_category"])
	}
}

// pages lists all of a path, page by page.
func pages(t *testing.T, a *api, path, key string, size int) []object {
	t.Helper()
	var all []object
	token := ""
	for range 1000 {
		query := fmt.Sprintf("?page_size=%d", size)
		if token != "" {
			query += "&page_token=" + token
		}
		o := a.get(t, path+query).want(t, 200)
		items := o[key].([]any)
		token, _ = o["next_page_token"].(string)
		if len(items) > size || token != "" && len(items) < size {
			t.Fatalf("a page of %d items where %d were asked for, next page %t", len(items), size, token != "")
		}
		for _, item := range items {
			all = append(all, item.(object))
		}
		if token == "" {
			return all
		}
	}
	t.Fatal("the list does not end")
	return nil
}

func ids(records []object) (list []string) {
	for _, r := range records {
		list = append(list, fmt.Sprint(r["record_id"]))
	}
	return list
}

// checkOrder checks that the newest measurement comes first.
func checkOrder(t *testing.T, records []object) {
	t.Helper()
	var before time.Time
	for i, r := range records {
		at, err := time.Parse(time.RFC3339, fmt.Sprint(r["measurement_time"]))
		if err != nil {
			t.Fatalf("measurement_time: %v", err)
		}
		if i > 0 && at.After(before) {
			t.Fatalf("item %d is newer than the one before it", i)
		}
		before = at
	}
	if len(records) > 0 && strings.Contains(strings.Join(ids(records), " "), "<nil>") {
		t.Fatal("a record has no record_id")
	}
}
