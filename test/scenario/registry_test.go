package scenario

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// ruleIDs gives the rule ids of a record's findings.
func ruleIDs(record object) (ids []string) {
	findings, _ := record["findings"].([]any)
	for _, f := range findings {
		ids = append(ids, f.(object)["rule_id"].(string))
	}
	return ids
}

// While the registry hangs, what is known of a subject serves: the intake goes
// on, the records are marked, and the mark goes when the registry is back.
func TestIntakeGoesOnWhileTheRegistryHangs(t *testing.T) {
	w := newWorld(t)
	_, known := w.subject(t, "s1")
	_, unknown := w.subject(t, "s1")
	upload := func(path, time string) reply {
		return w.admin.post(t, path+"/vitals", object{"measurement_time": time, "heart_rate": object{"beats_per_minute": 70}})
	}
	upload(known, "2026-05-01T08:00:00Z").want(t, 201)
	theSuite.signal(t, "subject-rpc", syscall.SIGSTOP)
	time.Sleep(2100 * time.Millisecond) // Past what serves without asking.
	begun := time.Now()
	for day := range 5 {
		upload(known, fmt.Sprintf("2026-05-1%dT08:00:00Z", day)).want(t, 201)
	}
	limit := 3 * time.Second
	if theSuite.containers != nil { // Two replicas, each with a first.
		limit *= 2
	}
	if took := time.Since(begun); took > limit {
		t.Errorf("5 uploads took %v: only the first may wait for the registry", took)
	}
	if r := upload(unknown, "2026-05-01T08:00:00Z"); r.status != 503 || r.problem(t) != "UNAVAILABLE" {
		t.Errorf("a subject of whom nothing is known: status %d", r.status)
	}
	theSuite.signal(t, "subject-rpc", syscall.SIGCONT)
	marked := func() (n int) {
		for _, record := range w.admin.get(t, known+"/vitals").want(t, 200)["records"].([]any) {
			for _, id := range ruleIDs(record.(object)) {
				if id == "subject.unverified" {
					n++
				}
			}
		}
		return n
	}
	if n := marked(); n == 0 {
		t.Error("no record is marked as taken on the last known answer")
	}
	eventually(t, 15*time.Second, func() error {
		if n := marked(); n > 0 {
			return fmt.Errorf("%d records still wait for the recheck", n)
		}
		return nil
	})
	upload(unknown, "2026-05-01T08:00:00Z").want(t, 201)
}

// Withdrawal holds for all services, by the time that the source gave.
func TestWithdrawal(t *testing.T) {
	w := newWorld(t)
	id, path := w.subject(t, "s1")
	_, other := w.subject(t, "s1")
	w.admin.post(t, other+"/vitals", object{"measurement_time": "2026-05-10T09:00:00Z", "heart_rate": object{"beats_per_minute": 70}}).want(t, 201)
	first := w.admin.post(t, path+":withdraw", object{"withdrawal_time": "2026-05-10T12:00:00+02:00", "reason": "moved away"}).want(t, 201)
	if s := first["subject"].(object); s["state"] != "WITHDRAWN" || s["source_time_text"] != "2026-05-10T12:00:00+02:00" || s["patient_id"] != id {
		t.Fatalf("%v", first)
	}
	w.admin.post(t, path+":withdraw", object{"withdrawal_time": "2026-05-10T12:00:00+02:00"}).want(t, 200)
	if reason := w.admin.post(t, path+":withdraw", object{"withdrawal_time": "2026-05-11T12:00:00Z"}).problem(t); reason != "ID_TAKEN" {
		t.Errorf("another time: %s", reason)
	}
	if reason := w.admin.post(t, path+":forget", object{}).problem(t); reason != "ROUTE_NOT_FOUND" {
		t.Errorf("an unknown verb: %s", reason)
	}
	bodies := func(at string) map[string]object {
		return map[string]object{
			"vitals": {"measurement_time": at, "heart_rate": object{"beats_per_minute": 70}},
			"reports": {"questionnaire_id": "q", "questionnaire_version": "1", "authored_time": at,
				"answers": []object{{"link_id": "a", "boolean_value": true}}},
			"medications": {"start_time": at, "medication": object{"system": "http://www.whocc.no/atc", "code": "C07AB02"},
				"dose": object{"value": 0.5, "ucum_unit": "mg"}, "route": object{"system": "http://standardterms.edqm.eu", "code": "20053000"}},
		}
	}
	w.admin.post(t, other+":withdraw", object{"withdrawal_time": "2026-05-10T10:00:00Z"}).want(t, 201)
	w.admin.post(t, other+"/vitals", bodies("2026-05-10T10:00:00Z")["vitals"]).want(t, 400) // At once, not when an answer ages.
	for kind, body := range bodies("2026-05-10T11:59:59.999+02:00") {
		w.admin.post(t, path+"/"+kind, body).want(t, 201)
	}
	for kind, body := range bodies("2026-05-10T10:00:00Z") {
		r := w.admin.post(t, path+"/"+kind, body)
		if r.status != 400 || r.problem(t) != "SUBJECT_WITHDRAWN" {
			t.Errorf("%s at the withdrawal's own instant: %d %s", kind, r.status, r.body)
		}
	}
}
