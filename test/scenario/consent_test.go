package scenario

import (
	"fmt"
	"testing"
	"time"

	"clinsource/internal/fault"
)

// Shows R48.
func TestConsentWithdrawn(t *testing.T) {
	w := newWorld(t)
	nurse := w.as(t, "coordinator", "--site", "s1")
	_, subject := w.subject(t, "s1")
	day := func(n int) string { return time.Date(2026, 5, n, 8, 0, 0, 0, time.UTC).Format(time.RFC3339) }
	weigh := func(id string, n int) reply {
		return nurse.post(t, subject+"/vitals", object{"client_record_id": id, "measurement_time": day(n), "heart_rate": object{"beats_per_minute": 64}})
	}
	weigh("before-any-consent", 1).want(t, 201) // It may be kept elsewhere.
	say := func(purpose, state string, n int) object {
		return nurse.post(t, subject+"/consents", object{"purpose": purpose, "state": state, "form_version": "3.1", "consent_time": day(n)}).want(t, 201)
	}
	say("trial", "CONSENT_GIVEN", 1)
	weigh("before", 9).want(t, 201)
	say("epro", "CONSENT_WITHDRAWN", 5)
	say("trial", "CONSENT_WITHDRAWN", 10)
	refused := func(r reply) {
		t.Helper()
		if r.want(t, 400); r.problem(t) != fault.ReasonConsentWithdrawn {
			t.Errorf("the refusal is %s", r.body)
		}
	}
	deadline := time.Now().Add(5 * time.Second) // Effective everywhere within seconds, by signal.
	for n := 0; weigh(fmt.Sprint("at-", n), 10).status == 201; n++ {
		if time.Now().After(deadline) {
			t.Fatal("the withdrawal is not in force after 5 s")
		}
		time.Sleep(50 * time.Millisecond)
	}
	refused(weigh("after", 11))
	weigh("late", 8).want(t, 201) // Measured before, arrives late: it stays.
	refused(nurse.post(t, subject+"/medications", with(correctedKinds[2].upload, object{"start_time": day(12)})))
	refused(nurse.post(t, subject+"/reports", with(correctedKinds[1].upload, object{"authored_time": day(6)})))
	nurse.post(t, subject+"/reports", with(correctedKinds[1].upload, object{"authored_time": day(4)})).want(t, 201)
	say("trial", "CONSENT_GIVEN", 20)
	for n := 0; weigh(fmt.Sprint("anew-", n), 20).status != 201; n++ {
		if time.Now().After(deadline.Add(5 * time.Second)) {
			t.Fatal("the consent anew is not in force after 5 s")
		}
		time.Sleep(50 * time.Millisecond)
	}
	refused(weigh("in-between", 15))
	list := nurse.get(t, subject+"/consents").want(t, 200)["consents"].([]any)
	if len(list) != 4 || list[0].(object)["current"] != true || list[1].(object)["current"] != false {
		t.Errorf("the consents are %v", list)
	}
}
