package records_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	recordpb "clinsource/proto/record"
)

// home is a registry that knows everybody at s1 of p.
type home struct{ subjects.Place }

func (h home) Resolve(context.Context, string) (subjects.Place, error) { return h.Place, nil }

var atHome = home{subjects.Place{Project: "p", Site: "s1"}}

// counted derives one count per content.
var counted = records.Derived{Tallies: func(r *records.Record) (map[string]int64, error) {
	return map[string]int64{"of " + string(r.Content): 1}, nil
}}

// investigating is the call of an investigator of p.
func (f *fixture) investigating() context.Context {
	return auth.WithUser(f.ctx, &auth.User{Subject: "nurse", Grants: []auth.Grant{{Role: auth.Investigator, Project: "p"}}})
}

func correctionOf(r *records.Record, base int32, reason string) records.Correction {
	return records.Correction{Patient: r.Patient, Record: r.ID, Base: base, Reason: reason}
}

// amend makes content of a record, as a service does.
func (f *fixture) amend(r *records.Record, base int32, content string, change ...func(*records.Draft)) (*records.Record, bool, error) {
	c := correctionOf(r, base, "misread")
	from, err := f.store.BaseOf(f.investigating(), atHome, c)
	if err != nil {
		return nil, false, err
	}
	d := of(draft("", content), "p", "s1", r.Patient)
	d.At, d.Tallies = from.At, map[string]int64{"of " + content: 1}
	for _, f := range change {
		f(&d)
	}
	return f.store.Amend(f.investigating(), d, from, c)
}

func (f *fixture) amended(r *records.Record, base int32, content string, change ...func(*records.Draft)) *records.Record {
	f.Helper()
	v, created, err := f.amend(r, base, content, change...)
	if err != nil || !created {
		f.Fatalf("the correction is created %v, %v", created, err)
	}
	return v
}

func (f *fixture) void(r *records.Record, base int32) (*records.Record, bool, error) {
	return f.store.Void(f.investigating(), atHome,
		&recordpb.VoidRecordRequest{PatientId: r.Patient, RecordId: r.ID, BaseVersion: base, Reason: "wrong subject"})
}

func (f *fixture) voided(r *records.Record, base int32) *records.Record {
	f.Helper()
	v, created, err := f.void(r, base)
	if err != nil || !created || !v.Voided {
		f.Fatalf("voiding gives %+v, created %v, %v", v, created, err)
	}
	return v
}

// versions reads a record's versions, two at a time.
func (f *fixture) versions(r *records.Record) []*records.Record {
	f.Helper()
	var all []*records.Record
	for token := ""; ; {
		list, next, err := f.store.Versions(f.investigating(), atHome,
			&recordpb.ListRecordVersionsRequest{PatientId: r.Patient, RecordId: r.ID, PageSize: 2, PageToken: token})
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, list...)
		if token = next; token == "" {
			return all
		}
	}
}

// Shows R03.
func TestEveryVersionStays(t *testing.T) {
	each(t, func(f *fixture) {
		f.store.Deriving(counted)
		d := draft("c-1", "one")
		d.Tallies = map[string]int64{"of one": 1}
		first, _ := f.put(d)
		for i, content := range []string{"two", "three", "four"} {
			f.amended(first, int32(i+1), content)
		}
		f.voided(first, 4)
		var told []string
		for _, r := range f.versions(first) {
			c := r.Change()
			told = append(told, fmt.Sprintf("%d %s %s %s %s", r.Version, r.Content, c.GetAction(), c.GetActor(), c.GetReason()))
			if r.Received.Before(first.Received) || r.ClientRecordID != "c-1" || !r.At.Equal(noon) {
				f.Errorf("version %d says %+v", r.Version, r)
			}
		}
		want := []string{"1 one CREATED nurse ", "2 two AMENDED nurse misread", "3 three AMENDED nurse misread", "4 four AMENDED nurse misread", "5 four VOIDED nurse wrong subject"}
		if !slices.Equal(told, want) {
			f.Errorf("the versions are %q", told)
		}
	})
}

// TestAStaleBaseIsNamed, and a resend is found whatever came after it.
func TestAStaleBaseIsNamed(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		second := f.amended(first, 1, "two")
		for range 2 {
			again, created, err := f.amend(first, 1, "two")
			if err != nil || created {
				f.Fatalf("the same correction again is created %v, %v", created, err)
			}
			same(f.T, "sent again", again, second)
			_, _, err = f.amend(first, 1, "other")
			isFault(f.T, err, codes.Aborted, fault.ReasonStale)
			if f := fault.From(err); len(f.Violations) != 1 || !strings.Contains(f.Violations[0].Message, "2") {
				t.Errorf("the newest version is not named: %+v", f)
			}
			_, _, err = f.amend(first, 9, "other")
			isFault(f.T, err, codes.Aborted, fault.ReasonStale)
		}
		third := f.voided(first, 2)
		again, created, err := f.void(first, 2)
		if err != nil || created || again.Version != third.Version {
			f.Errorf("voided again: %+v, created %v, %v", again, created, err)
		}
		if again, created, err := f.amend(first, 1, "two"); err != nil || created || again.Version != 2 {
			f.Errorf("an old correction sent again: %+v, created %v, %v", again, created, err)
		}
		for _, base := range []int32{1, 2, 3} {
			_, _, err := f.amend(first, base, "late")
			isFault(f.T, err, codes.FailedPrecondition, fault.ReasonVoided)
		}
		_, _, err = f.void(first, 3)
		isFault(f.T, err, codes.FailedPrecondition, fault.ReasonVoided)
	})
}

// TestTheFirstUploadIsAnsweredForEver with the first record; of a voided record the
// id is never free again.
func TestTheFirstUploadIsAnsweredForEver(t *testing.T) {
	each(t, func(f *fixture) {
		for _, id := range []string{"c-1", ""} {
			first, _ := f.put(draft(id, "one"))
			f.amended(first, 1, "two")
			again, created := f.put(draft(id, "one"))
			if created {
				f.Error("the first upload is stored again")
			}
			same(f.T, "the first upload again", again, first)
			f.voided(first, 2)
			f.refused(draft(id, "one"), codes.AlreadyExists, fault.ReasonIDTaken)
		}
		f.refused(draft("c-1", "three"), codes.AlreadyExists, fault.ReasonIDTaken)
		f.refused(draft("c-1", "two"), codes.AlreadyExists, fault.ReasonIDTaken)
	})
}

// Shows R05.
func TestReasons(t *testing.T) {
	for reason, rule := range map[string]string{
		"":  "reason.required",
		" ": "reason.required", "\t\n": "reason.required",
		"n/a": "reason.meaningless", "N/A.": "reason.meaningless", "N A": "reason.meaningless", "na": "reason.meaningless",
		"none": "reason.meaningless", "None!": "reason.meaningless", "-": "reason.meaningless", "--": "reason.meaningless",
		"x": "reason.meaningless", "xxx": "reason.meaningless", "x x x": "reason.meaningless", "test": "reason.meaningless",
		"...": "reason.meaningless", "123": "reason.meaningless", "12345678": "reason.meaningless", "ok": "reason.meaningless",
		"no reason": "reason.meaningless", "无": "reason.meaningless", "没有": "reason.meaningless", "不适用": "reason.meaningless", "。。。": "reason.meaningless",
		strings.Repeat("ab", 257): "text.too_long", "a\x00bc": "text.malformed", "\xff\xfe\xfd": "text.malformed",
		"typo": "", "misread": "", "systolic misread on the cuff": "", "录入错误": "", "错误": "", "Zahl vertauscht": "", "опечатка": "",
		strings.Repeat("ab", 256): "", "test tube confused": "", "n/a was wrong, see page 3": "",
	} {
		var check ident.Checker
		records.CheckReason(&check, reason)
		got := ""
		if len(check) > 0 {
			got = check[0].Rule
		}
		if got != rule || len(check) > 1 || len(check) == 1 && check[0].Field != "reason" {
			t.Errorf("%.20q is refused by %q, want %q", reason, got, rule)
		}
	}
}

func TestTheFormOfACorrection(t *testing.T) {
	var check ident.Checker
	records.CorrectionOf(&recordpb.VoidRecordRequest{}, &check)
	var got []string
	for _, v := range check {
		got = append(got, v.Field+" "+v.Rule)
	}
	if want := []string{"patient_id identifier.required", "record_id identifier.required", "base_version base_version.required", "reason reason.required"}; !slices.Equal(got, want) {
		t.Errorf("an empty correction is refused by %q", got)
	}
}

// TestWhoMayCorrect: others see neither the record nor its versions.
func TestWhoMayCorrect(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		as := func(g auth.Grant) context.Context {
			return auth.WithUser(f.ctx, &auth.User{Subject: "nurse", Grants: []auth.Grant{g}})
		}
		for name, c := range map[string]struct {
			grant  auth.Grant
			code   codes.Code
			reason string
		}{
			"a coordinator of the site": {auth.Grant{Role: auth.Coordinator, Project: "p", Sites: []string{"s1"}}, codes.OK, ""},
			"a data manager":            {auth.Grant{Role: auth.DataManager, Project: "p"}, codes.OK, ""},
			"another site":              {auth.Grant{Role: auth.Coordinator, Project: "p", Sites: []string{"s2"}}, codes.NotFound, fault.ReasonSubjectNotFound},
			"another project":           {auth.Grant{Role: auth.Admin, Project: "q"}, codes.NotFound, fault.ReasonSubjectNotFound},
			"a monitor":                 {auth.Grant{Role: auth.Monitor, Project: "p"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"the patient":               {auth.Grant{Role: auth.Patient, Project: "p", Patient: "x"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"a device":                  {auth.Grant{Role: auth.Device, Project: "p"}, codes.PermissionDenied, fault.ReasonRoleForbids},
		} {
			_, err := f.store.BaseOf(as(c.grant), atHome, correctionOf(first, 1, "misread"))
			if c.code == codes.OK && err != nil {
				f.Errorf("%s is refused: %v", name, err)
			} else if c.code != codes.OK {
				isFault(f.T, err, c.code, c.reason)
			}
		}
		for _, patient := range []string{"y"} { // Another patient's record.
			other := *first
			other.Patient = patient
			_, err := f.store.BaseOf(f.investigating(), atHome, correctionOf(&other, 1, "misread"))
			isFault(f.T, err, codes.NotFound, fault.ReasonRecordNotFound)
			_, _, err = f.store.Versions(f.investigating(), atHome, &recordpb.ListRecordVersionsRequest{PatientId: patient, RecordId: first.ID})
			isFault(f.T, err, codes.NotFound, fault.ReasonRecordNotFound)
		}
		// The subject has moved: whoever sees only the new site sees no record of the old one.
		moved := home{subjects.Place{Project: "p", Site: "s2"}}
		_, err := f.store.BaseOf(as(auth.Grant{Role: auth.Coordinator, Project: "p", Sites: []string{"s2"}}), moved, correctionOf(first, 1, "misread"))
		isFault(f.T, err, codes.NotFound, fault.ReasonRecordNotFound)
	})
}

// Shows R06.
func TestNoCorrectionWithoutItsRow(t *testing.T) {
	broken := migration(`-- +goose StatementBegin
CREATE TRIGGER audit_is_broken BEFORE INSERT ON audit_events WHEN NEW.action IN ('amend', 'void') BEGIN SELECT RAISE(ABORT, 'broken'); END;
-- +goose StatementEnd
`, `ALTER TABLE audit_events ADD CHECK (action NOT IN ('amend', 'void'));`)
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		before := f.summary(everything, "")
		if _, _, err := f.amend(first, 1, "two"); err == nil {
			f.Error("a correction is taken that is not audited")
		}
		if _, _, err := f.void(first, 1); err == nil {
			f.Error("a record is voided that is not audited")
		}
		if got := f.summary(everything, ""); fmt.Sprint(got) != fmt.Sprint(before) || f.number(`SELECT COUNT(*) FROM records`) != 1 ||
			f.number(`SELECT COUNT(*) FROM hidden_versions`) != 0 || len(f.list(everything)) != 1 {
			f.Errorf("something stays: %+v", got)
		}
	}, broken)
}

// Shows R04.
func TestTheDatabaseKeepsCorrections(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.amended(first, 1, "two")
		f.voided(first, 2)
		for _, statement := range []string{
			`UPDATE records SET reason = 'forged'`, `UPDATE records SET voided = 0`, `DELETE FROM records WHERE version = 3`,
			`UPDATE hidden_versions SET voided = 0`, `DELETE FROM hidden_versions`,
		} {
			if err := f.exec(statement); err == nil {
				f.Errorf("%s is done", statement)
			}
		}
		if len(f.versions(first)) != 3 || len(f.list(everything)) != 0 {
			f.Error("the rows have changed")
		}
	})
}

// Shows R01.
func TestACorrectionsAuditRow(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.amended(first, 1, "two", func(d *records.Draft) { d.Fields = []string{"blood_pressure", "source_time_text"} })
		if got := f.lastEvent(); got != "amend investigator p s1 x one" || f.number(`SELECT COUNT(*) FROM audit_events
 WHERE action = 'amend' AND version = 2 AND fields = 'blood_pressure' || $1 || 'source_time_text' AND digest <> ''`, "\n") != 1 {
			f.Errorf("the row of a correction is %q", got)
		}
		f.voided(first, 2)
		if got := f.lastEvent(); got != "void investigator p s1 x one" || f.number(`SELECT COUNT(*) FROM audit_events WHERE action = 'void' AND version = 3`) != 1 {
			f.Errorf("the row of a voiding is %q", got)
		}
		f.versions(first)
		if got := f.lastEvent(); got != "versions investigator p s1 x one" {
			f.Errorf("the row of a read of versions is %q", got)
		}
	})
}

// Many correct one version at once: one wins, the others are told, and all who sent
// the same get the same version.
func TestOneCorrectionOfAVersionWins(t *testing.T) {
	each(t, func(f *fixture) {
		f.store.Deriving(counted)
		d := draft("c-1", "one")
		d.Tallies = map[string]int64{"of one": 1}
		first, _ := f.put(d)
		const callers = 48
		var created, found, stale atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				v, fresh, err := f.amend(first, 1, fmt.Sprint("content ", i%8))
				switch {
				case err == nil && fresh:
					created.Add(1)
				case err == nil && v.Version == 2:
					found.Add(1)
				default:
					isFault(f.T, err, codes.Aborted, fault.ReasonStale)
					stale.Add(1)
				}
			})
		}
		all.Wait()
		sum := f.summary(everything, "")
		if created.Load() != 1 || found.Load() != callers/8-1 || stale.Load() != callers*7/8 || sum.Records != 1 || len(sum.Tallies) != 1 {
			f.Errorf("%d won, %d found it, %d were stale; %+v", created.Load(), found.Load(), stale.Load(), sum)
		}
	})
}

// TestReplicasCorrectOneVersion: the same across processes on one database.
func TestReplicasCorrectOneVersion(t *testing.T) {
	_, _, both := replicas(t)
	first, _ := both[0].put(draft("c-1", "one"))
	var created atomic.Int64
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			_, fresh, err := both[i%2].amend(first, 1, fmt.Sprint("content ", i%4))
			if err == nil && fresh {
				created.Add(1)
			} else if err != nil {
				isFault(t, err, codes.Aborted, fault.ReasonStale)
			}
		})
	}
	all.Wait()
	if created.Load() != 1 || len(both[0].versions(first)) != 2 {
		t.Errorf("%d corrections won, %d versions", created.Load(), len(both[0].versions(first)))
	}
}

// The model of TestAnySequence is one that nobody can get wrong: a slice.
type modelled struct {
	*records.Record
	content string
	at      time.Time
	queried bool
	voided  bool
	version int32
}

// TestAnySequence of uploads, corrections and voidings gives the lists, counts and
// newest times of a naive model.
func TestAnySequence(t *testing.T) {
	each(t, func(f *fixture) {
		f.store.Deriving(counted)
		random := rand.New(rand.NewPCG(1, 2))
		var all []*modelled
		for i := range 150 {
			dated := func(d *records.Draft) {
				d.At = noon.Add(time.Duration(random.IntN(20)) * time.Hour)
				d.Findings = nil
				if random.IntN(3) == 0 {
					d.Findings = append(d.Findings, query("q"))
				}
			}
			content := fmt.Sprint(random.IntN(5))
			if len(all) == 0 || random.IntN(3) == 0 {
				d := of(draft(fmt.Sprint("c-", i), content), "p", "s1", fmt.Sprint("x", random.IntN(3)))
				d.Tallies = map[string]int64{"of " + content: 1}
				dated(&d)
				r, _ := f.put(d)
				all = append(all, &modelled{Record: r, content: content, at: r.At, queried: r.Queried(), version: 1})
				continue
			}
			m := all[random.IntN(len(all))]
			if m.voided {
				continue
			}
			if random.IntN(4) == 0 {
				f.voided(m.Record, m.version)
				m.voided = true
			} else {
				v := f.amended(m.Record, m.version, content, dated)
				m.content, m.at, m.queried = content, v.At, v.Queried()
			}
			m.version++
			if i%10 == 9 {
				f.like(all)
			}
		}
		f.like(all)
	})
}

// like compares what the store tells with the model, of all subjects and of each.
func (f *fixture) like(all []*modelled) {
	f.Helper()
	for _, patient := range []string{"", "x0", "x1", "x2"} {
		var want []string
		sum := records.Summary{Tallies: map[string]int64{}}
		subjects := map[string]bool{}
		slices.SortFunc(all, func(a, b *modelled) int {
			if c := b.at.Compare(a.at); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		for _, m := range all {
			if m.voided || patient != "" && m.Patient != patient {
				continue
			}
			want = append(want, fmt.Sprintf("%s %d %s", m.ID, m.version, m.content))
			sum.Records++
			if m.queried {
				sum.Queried++
			}
			if m.at.After(sum.Newest) {
				sum.Newest = m.at
			}
			subjects[m.Patient] = true
			sum.Tallies["of "+m.content]++
		}
		sum.Subjects = int64(len(subjects))
		if got := f.summary(everything, patient); got.Records != sum.Records || got.Queried != sum.Queried || got.Subjects != sum.Subjects ||
			!got.Newest.Equal(sum.Newest) || !maps.Equal(got.Tallies, sum.Tallies) {
			f.Fatalf("of %q the store counts %+v, want %+v", patient, got, sum)
		}
		if got := f.told(patient); !slices.Equal(got, want) {
			f.Fatalf("of %q the store lists %q, want %q", patient, got, want)
		}
	}
}

func (f *fixture) told(patient string) (told []string) {
	f.Helper()
	p, err := page.Parse(1000, "", "test")
	if err != nil {
		f.Fatal(err)
	}
	list, _, err := f.store.List(f.ctx, everything, records.Wanted{Patient: patient}, p)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range list {
		told = append(told, fmt.Sprintf("%s %d %s", r.ID, r.Version, r.Content))
	}
	return told
}

// TestVoidedOnesAreListedOnDemand, marked, and once each.
func TestVoidedOnesAreListedOnDemand(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.amended(first, 1, "two")
		f.voided(first, 2)
		f.put(draft("c-2", "other"))
		p, err := page.Parse(10, "", "test")
		if err != nil {
			f.Fatal(err)
		}
		list, _, err := f.store.List(f.ctx, everything, records.Wanted{Voided: true}, p)
		if err != nil || len(list) != 2 {
			f.Fatalf("%d records, %v", len(list), err)
		}
		for _, r := range list {
			if voided := r.ID == first.ID; r.Voided != voided || voided && (r.Version != 3 || r.Change().GetAction() != recordpb.ChangeAction_VOIDED) {
				f.Errorf("listed is %+v", r)
			}
		}
		if sum := f.summary(everything, ""); sum.Records != 1 {
			f.Errorf("the voided one counts: %+v", sum)
		}
	})
}

// TestACorrectionIsRecheckedByItsOwnTime: the recheck that waits, or a new one, is
// about what was corrected; a voided record waits for none.
func TestACorrectionIsRecheckedByItsOwnTime(t *testing.T) {
	withdrawn := &asked{places: map[string]subjects.Place{"x": {Project: "p", Site: "s1", Withdrawn: noon}}}
	each(t, func(f *fixture) {
		d := draft("c-1", "one")
		d.At, d.Unverified = noon.Add(-time.Hour), true
		first, _ := f.put(d)
		f.amended(first, 1, "two", func(d *records.Draft) { d.At = noon.Add(time.Hour) })
		e := draft("c-2", "sure")
		e.At = noon.Add(-time.Hour)
		second, _ := f.put(e)
		f.amended(second, 1, "stale", func(d *records.Draft) { d.At, d.Unverified = noon.Add(-time.Minute), true })
		g := draft("c-3", "gone")
		g.Unverified = true
		third, _ := f.put(g)
		f.voided(third, 1)
		f.marked(map[string]string{"c-1": waits, "c-2": waits})
		if err := f.store.RecheckOnce(f.ctx, withdrawn); err != nil {
			f.Fatal(err)
		}
		if n := f.number(`SELECT COUNT(*) FROM unverified_records WHERE failed = 1 AND record_id = $1`, first.ID); n != 1 || f.number(`SELECT COUNT(*) FROM unverified_records`) != 1 {
			f.Errorf("%d records failed", n)
		}
	})
}

// TestAFailedCorrectionLeavesNothing: what a service derives is part of the same
// transaction.
func TestAFailedCorrectionLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.store.Deriving(records.Derived{Forget: func(context.Context, *sqldb.Tx, *records.Record) error { return boom }})
		if _, _, err := f.amend(first, 1, "two"); !errors.Is(err, boom) {
			f.Errorf("the answer is %v", err)
		}
		if _, _, err := f.void(first, 1); !errors.Is(err, boom) {
			f.Errorf("the answer is %v", err)
		}
		if sum := f.summary(everything, ""); sum.Records != 1 || len(f.versions(first)) != 1 {
			f.Errorf("something stays: %+v", sum)
		}
	})
}

// What the log says of each version, those of a correction included, is what is
// stored: its reason and who made it are part of the digest.
func TestTheLogHoldsCorrections(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.amended(first, 1, "two", func(d *records.Draft) { d.Findings = append(d.Findings, query("q")) })
		f.voided(first, 2)
		stored := 0
		for v, err := range f.store.Stored(f.ctx) {
			if err != nil {
				f.Fatal(err)
			}
			stored++
			if n := f.number(`SELECT COUNT(*) FROM audit_events WHERE record_id = $1 AND version = $2 AND digest = $3`, v.Record, v.Version, v.Digest); n != 1 {
				f.Errorf("the log has %d rows with the digest of version %d as it is stored", n, v.Version)
			}
		}
		if stored != 3 {
			f.Errorf("%d versions are stored", stored)
		}
	})
}
