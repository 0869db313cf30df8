package logic_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/project-api/internal/config"
	"clinsource/project-api/internal/logic"
)

// wantFault holds an error against a code and a reason.
func wantFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s %s", code, reason)
	}
	if f := fault.From(err); f.Code != code || f.Reason != reason {
		t.Errorf("got %v, want %s %s", f, code, reason)
	}
}

// wantWhole holds every section but the one named to be whole.
func wantWhole(t *testing.T, d *logic.Details, but string) {
	t.Helper()
	for _, name := range names {
		if s := d.Sections[name]; name != but && (s.State != logic.StateOK || s.Reason != "" || s.Message != "" || len(s.Data) == 0) {
			t.Errorf("without %s: %s is %+v", but, name, s)
		}
	}
}

func TestAWholeView(t *testing.T) {
	for patient, want := range map[string][]string{
		"":   {"images trial/", "medications trial/", "reports trial/", "subjects trial/", "vitals trial/"},
		"p1": {"images trial/p1", "medications trial/p1", "reports trial/p1", "subjects trial/p1", "vitals trial/p1"},
	} {
		s, services := gateway(nil)
		d, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial", Patient: patient, Require: names})
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, d, "")
		if got := services.wasAsked(); !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
		body, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{
			`{"project":{"project_id":"trial","title":"A title"},"sections":{`, `"vitals":{"state":"ok","reason":"","elapsed_ms":`,
			`"data":{"count":3,"withdrawn":0,"sites":0,"subjects_per_site":{}}}`, // The project stands above, once.
			`"blood_pressure_categories":{"NORMAL":4}`,
		} {
			if !strings.Contains(string(body), part) {
				t.Errorf("the view does not hold %s:\n%s", part, body)
			}
		}
	}
}

// No section waits for another: each answers when all have been asked.
func TestSectionsAreAskedAtOnce(t *testing.T) {
	var all sync.WaitGroup
	all.Add(len(names))
	s, _ := gateway(everywhere(func(ctx context.Context) error {
		all.Done()
		asked := make(chan struct{})
		go func() { all.Wait(); close(asked) }()
		select {
		case <-asked:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	d, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial"})
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, d, "")
}

// What a section's fault comes to, whichever section it is.
func TestAFaultCostsItsSectionOnly(t *testing.T) {
	for name, c := range map[string]struct {
		err           error
		state, reason string
	}{
		"time ran out":          {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), logic.StateTimeout, fault.ReasonTimeout},
		"time ran out, ours":    {context.DeadlineExceeded, logic.StateTimeout, fault.ReasonTimeout},
		"away":                  {status.Error(codes.Unavailable, "connection refused"), logic.StateUnavailable, fault.ReasonUnavailable},
		"stopping":              {fault.Unavailable(fault.ReasonUnavailable, "stopping", time.Second), logic.StateUnavailable, fault.ReasonUnavailable},
		"bulkhead full":         {fault.Unavailable(fault.ReasonOverloaded, "too many calls", time.Second), logic.StateOverloaded, fault.ReasonOverloaded},
		"queue full":            {fault.Exhausted(fault.ReasonOverloaded, "too many writes", time.Second), logic.StateOverloaded, fault.ReasonOverloaded},
		"grpc's own bound":      {status.Error(codes.ResourceExhausted, "message larger than max"), logic.StateOverloaded, fault.ReasonOverloaded},
		"inside":                {fault.Internal(nil), logic.StateFailed, fault.ReasonInternal},
		"no fault":              {errors.New("no such column"), logic.StateFailed, fault.ReasonInternal},
		"peer not on the list":  {fault.Denied(fault.ReasonPeerNotAllowed, "not on the list"), logic.StateFailed, fault.ReasonPeerNotAllowed},
		"older service":         {status.Error(codes.Unimplemented, "unknown method"), logic.StateFailed, fault.ReasonUnimplemented},
		"bytes damaged":         {fault.DataLoss(fault.ReasonCorrupt, "damaged"), logic.StateFailed, fault.ReasonCorrupt},
		"broken off over there": {status.Error(codes.Canceled, "context canceled"), logic.StateUnavailable, fault.ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			for _, section := range names {
				s, _ := gateway(map[string]ask{section: fails(c.err)})
				d, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial"})
				if err != nil {
					t.Fatalf("%s: %v", section, err)
				}
				wantWhole(t, d, section)
				got := d.Sections[section]
				if got.State != c.state || got.Reason != c.reason || got.Data != nil || got.Message == "" || strings.Contains(got.Message, "column") {
					t.Errorf("%s is %+v, want %s %s", section, got, c.state, c.reason)
				}
				if body, err := json.Marshal(got); err != nil || !strings.HasSuffix(string(body), `"data":null}`) {
					t.Errorf("%s: %s, %v", section, body, err)
				}
				if !strings.Contains(string(d.Project), `"project_id":"trial"`) {
					t.Errorf("without %s the project is %s", section, d.Project)
				}
			}
		})
	}
}

// A section that hangs ends at its own budget; the others have not waited for
// it, and are whole.
func TestAHungSectionEndsAtItsBudget(t *testing.T) {
	for section, shorten := range map[string]func(*config.Budgets){
		"subjects": func(b *config.Budgets) { b.Subjects = brief }, "vitals": func(b *config.Budgets) { b.Vitals = brief },
		"images": func(b *config.Budgets) { b.Images = brief }, "reports": func(b *config.Budgets) { b.Reports = brief },
		"medications": func(b *config.Budgets) { b.Medications = brief },
	} {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			s, _ := gateway(map[string]ask{section: hangs})
			shorten(&s.Budgets)
			begun := time.Now()
			d, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial", Chinese: true})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > ample/2 {
				t.Errorf("took %v", took)
			}
			wantWhole(t, d, section)
			got := d.Sections[section]
			if got.State != logic.StateTimeout || got.Reason != fault.ReasonTimeout || got.ElapsedMs < brief.Milliseconds() {
				t.Errorf("got %+v", got)
			}
			if section == "reports" && got.Message != "获取患者报告超时，请稍后重试" {
				t.Errorf("message %q", got.Message)
			}
		})
	}
}

// A caller who waits less than the budgets gets what came until then.
func TestACallersShorterDeadlineWins(t *testing.T) {
	s, _ := gateway(map[string]ask{"reports": hangs})
	ctx, cancel := context.WithTimeout(as(t, investigator), brief)
	defer cancel()
	d, err := logic.NewGetProjectDetailsLogic(ctx, s).GetProjectDetails(logic.Asked{Project: "trial"})
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, d, "reports")
	if got := d.Sections["reports"]; got.State != logic.StateTimeout {
		t.Errorf("got %+v", got)
	}
}

func TestRequiredSections(t *testing.T) {
	s, services := gateway(map[string]ask{"reports": fails(fault.DeadlineExceeded("late")), "images": fails(fault.Unavailable(fault.ReasonUnavailable, "away", time.Second))})
	view := func(require ...string) error {
		_, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial", Require: require})
		return err
	}
	err := view("vitals", "reports")
	wantFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
	var section *logic.SectionError
	if !errors.As(err, &section) || section.Section != "reports" || !strings.HasPrefix(err.Error(), "reports: ") {
		t.Errorf("got %v, want the section reports", err)
	}
	wantFault(t, view("images"), codes.Unavailable, fault.ReasonUnavailable)
	if err := view("vitals", "subjects", "medications"); err != nil {
		t.Errorf("what is required is whole, and yet %v", err)
	}
	asked := len(services.wasAsked())
	for _, unknown := range [][]string{{"report"}, {"reports", ""}, {"a", "b"}} {
		err := view(unknown...)
		wantFault(t, err, codes.InvalidArgument, fault.ReasonQueryInvalid)
		if v := fault.From(err).Violations; len(v) != 1 || v[0].Field != "require" || v[0].Rule != "require.unknown" {
			t.Errorf("violations %v", v)
		}
	}
	if len(services.wasAsked()) != asked {
		t.Error("services were asked for a view that could not be")
	}
}

// The registry says what there is: nothing, and the view is not found, whatever
// the others say.
func TestAnUnknownProjectOrSubject(t *testing.T) {
	for reason, patient := range map[string]string{fault.ReasonProjectNotFound: "", fault.ReasonSubjectNotFound: "nobody"} {
		s, _ := gateway(map[string]ask{"subjects": fails(fault.NotFound(reason, "there is none")), "vitals": fails(fault.Internal(nil))})
		_, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial", Patient: patient, Require: []string{"vitals"}})
		wantFault(t, err, codes.NotFound, reason)
	}
}

func TestAllSectionsFailed(t *testing.T) {
	special := everywhere(fails(fault.Internal(nil)))
	special["vitals"] = fails(fault.DeadlineExceeded("late"))
	special["images"] = fails(status.Error(codes.Unavailable, "refused"))
	special["reports"] = fails(fault.Exhausted(fault.ReasonOverloaded, "full", time.Second))
	s, _ := gateway(special)
	_, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial"})
	wantFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
	f := fault.From(err)
	if f.RetryAfter <= 0 || !strings.Contains(f.Message, "subjects: failed, vitals: timeout, images: unavailable, reports: overloaded, medications: failed") {
		t.Errorf("got %v, again after %v", f, f.RetryAfter)
	}
}

// A role without a right to a section has that section failed, unasked, and the
// others whole.
func TestARoleWithoutASection(t *testing.T) {
	s, services := gateway(nil)
	own := auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}
	d, err := logic.NewGetProjectDetailsLogic(as(t, own), s).GetProjectDetails(logic.Asked{Project: "trial", Chinese: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		got, mayRead := d.Sections[name], name == "vitals" || name == "reports"
		if mayRead && got.State != logic.StateOK || !mayRead && (got.State != logic.StateFailed || got.Reason != fault.ReasonRoleForbids || got.Message != "权限不足，请联系管理员。") {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if got, want := services.wasAsked(), []string{"reports trial/", "vitals trial/"}; !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
	if string(d.Project) != `{"project_id":"trial"}` {
		t.Errorf("project %s", d.Project)
	}
	_, err = logic.NewGetProjectDetailsLogic(as(t, own), s).GetProjectDetails(logic.Asked{Project: "trial", Require: []string{"images"}})
	wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
}

// Where the role may not ask the registry, the services still know that there
// is no such subject to be seen: that is no outage.
func TestAnotherPatientsViewIsNotFound(t *testing.T) {
	unseen := fails(fault.NotFound(fault.ReasonSubjectNotFound, "there is no such subject"))
	s, _ := gateway(map[string]ask{"vitals": unseen, "reports": unseen})
	own := auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}
	_, err := logic.NewGetProjectDetailsLogic(as(t, own), s).GetProjectDetails(logic.Asked{Project: "trial", Patient: "p2"})
	wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
}

// Who may see nothing of the project is refused before anybody is asked. An
// admin without a project sets projects up, and sees no patient's data.
func TestWhoSeesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		grants []auth.Grant
		reason string
	}{
		"no grant":                {nil, fault.ReasonNoGrant},
		"another project's":       {[]auth.Grant{{Role: auth.Admin, Project: "elsewhere"}}, fault.ReasonNoGrant},
		"admin without a project": {[]auth.Grant{{Role: auth.Admin}}, fault.ReasonNoGrant},
		"device":                  {[]auth.Grant{{Role: auth.Device, Project: "trial"}}, fault.ReasonRoleForbids},
	} {
		s, services := gateway(nil)
		_, err := logic.NewGetProjectDetailsLogic(as(t, c.grants...), s).GetProjectDetails(logic.Asked{Project: "trial"})
		wantFault(t, err, codes.PermissionDenied, c.reason)
		if got := services.wasAsked(); len(got) != 0 {
			t.Errorf("%s: asked %q", name, got)
		}
	}
	// A grant beside it is what decides.
	s, _ := gateway(nil)
	d, err := logic.NewGetProjectDetailsLogic(as(t, auth.Grant{Role: auth.Admin}, investigator), s).GetProjectDetails(logic.Asked{Project: "trial"})
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, d, "")
}

// One token serves all sections: a service that no longer takes it decides.
func TestAnExpiredTokenDecides(t *testing.T) {
	s, _ := gateway(map[string]ask{"medications": fails(fault.Unauthenticated(fault.ReasonTokenInvalid, "expired"))})
	_, err := logic.NewGetProjectDetailsLogic(as(t, investigator), s).GetProjectDetails(logic.Asked{Project: "trial"})
	wantFault(t, err, codes.Unauthenticated, fault.ReasonTokenInvalid)
}

// A caller who leaves ends every call for them at once.
func TestACallerWhoLeaves(t *testing.T) {
	var asked sync.WaitGroup
	asked.Add(len(names))
	s, _ := gateway(everywhere(func(ctx context.Context) error {
		asked.Done()
		return hangs(ctx)
	}))
	ctx, leave := context.WithCancel(as(t, investigator))
	go func() { asked.Wait(); leave() }()
	begun := time.Now()
	_, err := logic.NewGetProjectDetailsLogic(ctx, s).GetProjectDetails(logic.Asked{Project: "trial"})
	wantFault(t, err, codes.Canceled, fault.ReasonCanceled)
	if took := time.Since(begun); took > ample/2 {
		t.Errorf("the calls went on for %v", took)
	}
}
