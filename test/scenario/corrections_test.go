package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"clinsource/internal/fault"
)

func (a *api) patch(t testing.TB, path string, body object) reply {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return a.send(t, http.MethodPatch, path, bytes.NewReader(data), "Content-Type", "application/merge-patch+json")
}

// correctedKinds are the kinds of record: how one comes, a correction of it, and where
// that shows.
var correctedKinds = []struct {
	kind, list, one string
	upload          object
	patch           object
	shows           func(record object) string
	before, after   string
}{
	{"vitals", "records", "record",
		object{"client_record_id": "c1", "measurement_time": "2026-06-01T08:30:00+02:00", "blood_pressure": object{"systolic": 181, "diastolic": 82}, "heart_rate": object{"beats_per_minute": 64}},
		object{"blood_pressure": object{"systolic": json.Number("118.0")}, "heart_rate": nil},
		func(r object) string {
			return fmt.Sprint(r["blood_pressure"].(object)["systolic_entered"], r["heart_rate"] != nil)
		}, "181true", "118.0false"},
	{"reports", "reports", "report",
		object{"client_record_id": "c1", "questionnaire_id": "diary", "questionnaire_version": "1", "authored_time": "2026-06-01T08:30:00Z",
			"answers": []object{{"link_id": "pain", "integer_value": 3}, {"link_id": "sleep", "boolean_value": true}}},
		object{"answers": []object{{"link_id": "pain", "integer_value": 4}}},
		func(r object) string { return fmt.Sprint(len(r["answers"].([]any)), r["questionnaire_id"]) }, "2diary", "1diary"},
	{"medications", "medications", "medication",
		object{"client_record_id": "c1", "medication": object{"system": "urn:x", "code": "a"}, "dose": object{"value": 1, "ucum_unit": "mg"},
			"route": object{"system": "urn:x", "code": "oral"}, "start_time": "2026-06-01T08:30:00Z"},
		object{"dose": object{"value": json.Number("0.50")}},
		func(r object) string {
			return fmt.Sprint(r["dose"].(object)["value_entered"], r["dose"].(object)["ucum_unit"])
		}, "1mg", "0.50mg"},
}

func with(base object, more object) object {
	out := object{}
	for _, from := range []object{base, more} {
		for k, v := range from {
			out[k] = v
		}
	}
	return out
}

// Shows R03, R05.
func TestCorrections(t *testing.T) {
	w := newWorld(t)
	nurse := w.as(t, "coordinator", "--site", "s1")
	for _, c := range correctedKinds {
		t.Run(c.kind, func(t *testing.T) {
			_, subject := w.subject(t, "s1")
			path := subject + "/" + c.kind
			id := fmt.Sprint(nurse.post(t, path, c.upload).want(t, 201)["record_id"])
			record := path + "/" + id
			listed := func(query string) []any { return nurse.get(t, path+query).want(t, 200)[c.list].([]any) }

			if reason := nurse.patch(t, record, with(c.patch, object{"base_version": 1, "reason": "n/a"})); reason.want(t, 400) == nil || reason.problem(t) != fault.ReasonFieldInvalid {
				t.Errorf("a reason that says nothing: %s", reason.body)
			}
			amendment := with(c.patch, object{"base_version": 1, "reason": "misread on the form"})
			for _, created := range []bool{true, false} {
				out := nurse.patch(t, record, amendment).want(t, 200)
				r := out[c.one].(object)
				if out["created"] != created || c.shows(r) != c.after || fmt.Sprint(r["version"]) != "2" || r["change"].(object)["reason"] != "misread on the form" {
					t.Errorf("the correction answers %v", out)
				}
			}
			stale := nurse.patch(t, record, with(amendment, object{"reason": "another reason altogether"}))
			if stale.want(t, 409); stale.problem(t) != fault.ReasonStale || !bytes.Contains(stale.body, []byte("newest version is 2")) {
				t.Errorf("a stale base: %s", stale.body)
			}
			if list := listed(""); len(list) != 1 || c.shows(list[0].(object)) != c.after {
				t.Errorf("the list shows %v", list)
			}
			if out := nurse.post(t, record+":void", object{"base_version": 2, "reason": "wrong subject"}).want(t, 200); out["created"] != true {
				t.Errorf("voiding answers %v", out)
			}
			if len(listed("")) != 0 || len(listed("?include_voided=true")) != 1 {
				t.Error("a voided record is listed, or is not where it is asked for")
			}
			gone := nurse.patch(t, record, with(c.patch, object{"base_version": 3, "reason": "not void after all"}))
			if gone.want(t, 400); gone.problem(t) != fault.ReasonVoided {
				t.Errorf("a correction of a voided record: %s", gone.body)
			}
			nurse.post(t, path, c.upload).want(t, 409)
			versions := nurse.get(t, record+"/versions").want(t, 200)["versions"].([]any)
			if len(versions) != 3 || c.shows(versions[0].(object)) != c.before || c.shows(versions[1].(object)) != c.after {
				t.Errorf("the versions are %v", versions)
			}
			w.as(t, "monitor").patch(t, record, amendment).want(t, 403)
			w.as(t, "coordinator", "--site", "s2").patch(t, record, amendment).want(t, 404)
			w.as(t, "coordinator", "--site", "s2").get(t, record+"/versions").want(t, 404)
		})
	}
}

// TestOneOfManyCorrectionsWins: many coordinators correct one version at once.
func TestOneOfManyCorrectionsWins(t *testing.T) {
	w := newWorld(t)
	_, subject := w.subject(t, "s1")
	id := fmt.Sprint(w.admin.post(t, subject+"/vitals", correctedKinds[0].upload).want(t, 201)["record_id"])
	var won, stale atomic.Int64
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			body := object{"base_version": 1, "reason": fmt.Sprint("reading number ", i), "heart_rate": object{"beats_per_minute": 70 + i}}
			switch r := w.admin.patch(t, subject+"/vitals/"+id, body); r.status {
			case 200:
				won.Add(1)
			case 409:
				stale.Add(1)
			default:
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || stale.Load() != 23 {
		t.Errorf("%d corrections won, %d were stale", won.Load(), stale.Load())
	}
}
