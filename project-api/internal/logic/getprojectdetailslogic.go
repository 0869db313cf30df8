// Package logic is what the gateway composes out of several services: the view
// of a project, or of one patient, in which each service answers for its section.
package logic

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/safely"
	"clinsource/project-api/internal/problem"
	"clinsource/project-api/internal/svc"
	"clinsource/project-api/internal/wire"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// Asked is what a view is to show.
type Asked struct {
	Project string
	Patient string   // Empty: the whole project.
	Require []string // Sections that must not fail.
	Chinese bool     // The language of messages.
}

// Details is a project, or one patient of it, as a whole.
type Details struct {
	Project  json.RawMessage    `json:"project"`
	Sections map[string]Section `json:"sections"`
}

// Section is what one service contributes.
type Section struct {
	State     string          `json:"state"`             // ok, timeout, unavailable, overloaded or failed.
	Reason    string          `json:"reason"`            // Empty if ok, else the fault's reason.
	Message   string          `json:"message,omitempty"` // What to tell the user if not ok.
	ElapsedMs int64           `json:"elapsed_ms"`
	Data      json.RawMessage `json:"data"` // null if not ok.
	err       *fault.Error
}

// The states of a section.
const (
	StateOK          = "ok"
	StateTimeout     = "timeout"
	StateUnavailable = "unavailable"
	StateOverloaded  = "overloaded"
	StateFailed      = "failed"
)

// SectionError is the fault of a section that decides the whole answer.
type SectionError struct {
	Section string
	Fault   *fault.Error
}

func (e *SectionError) Error() string { return e.Section + ": " + e.Fault.Error() }

// Unwrap gives the fault, which is what the caller gets.
func (e *SectionError) Unwrap() error { return e.Fault }

// GetProjectDetailsLogic composes one view.
type GetProjectDetailsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetProjectDetailsLogic makes the logic of one call.
func NewGetProjectDetailsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetProjectDetailsLogic {
	return &GetProjectDetailsLogic{ctx: ctx, svcCtx: svcCtx}
}

// source is one section: what kind of record, under which budget, from where.
type source struct {
	name   string
	kind   auth.Kind
	budget time.Duration
	ask    func(ctx context.Context) (proto.Message, error)
}

func (l *GetProjectDetailsLogic) sources(a Asked) []source {
	s, b := l.svcCtx, l.svcCtx.Budgets
	return []source{
		{"subjects", auth.Subjects, b.Subjects, func(ctx context.Context) (proto.Message, error) {
			return s.SubjectRpc.GetSubjectsSummary(ctx, &subjectpb.GetSubjectsSummaryRequest{ProjectId: a.Project, PatientId: a.Patient})
		}},
		{"vitals", auth.Vitals, b.Vitals, func(ctx context.Context) (proto.Message, error) {
			return s.VitalsRpc.GetVitalsSummary(ctx, &vitalspb.GetVitalsSummaryRequest{ProjectId: a.Project, PatientId: a.Patient})
		}},
		{"images", auth.Images, b.Images, func(ctx context.Context) (proto.Message, error) {
			return s.DicomRpc.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{ProjectId: a.Project, PatientId: a.Patient})
		}},
		{"reports", auth.Reports, b.Reports, func(ctx context.Context) (proto.Message, error) {
			return s.EproRpc.GetReportsSummary(ctx, &epropb.GetReportsSummaryRequest{ProjectId: a.Project, PatientId: a.Patient})
		}},
		{"medications", auth.Medications, b.Medications, func(ctx context.Context) (proto.Message, error) {
			return s.MedicationRpc.GetMedicationsSummary(ctx, &medicationpb.GetMedicationsSummaryRequest{ProjectId: a.Project, PatientId: a.Patient})
		}},
	}
}

// GetProjectDetails asks all services at once, each under its own budget, and
// gives what came. A service that is slow or away costs its own section only.
// It fails for an unknown project or subject, for a section that was required,
// and when every section failed.
func (l *GetProjectDetailsLogic) GetProjectDetails(a Asked) (*Details, error) {
	sources := l.sources(a)
	if err := checkRequired(a.Require, sources); err != nil {
		return nil, err
	}
	if err := l.mayReadAny(a.Project, sources); err != nil {
		return nil, err
	}
	answers := make([]Section, len(sources))
	var project json.RawMessage
	var wg sync.WaitGroup
	for i, src := range sources {
		wg.Go(func() {
			answers[i] = l.section(a, src, func(m proto.Message) {
				if sum, ok := m.(*subjectpb.GetSubjectsSummaryResponse); ok {
					project = wire.Encode(sum.GetProject())
					sum.Project = nil
				}
			})
		})
	}
	wg.Wait()
	if project == nil {
		project = wire.Encode(&subjectpb.Project{ProjectId: a.Project})
	}
	d := &Details{Project: project, Sections: map[string]Section{}}
	for i, src := range sources {
		d.Sections[src.name] = answers[i]
	}
	if err := verdict(a, sources, answers); err != nil {
		return nil, err
	}
	return d, nil
}

func checkRequired(required []string, sources []source) error {
	var bad []fault.Violation
	for _, name := range required {
		if !slices.ContainsFunc(sources, func(s source) bool { return s.name == name }) {
			bad = append(bad, fault.Violation{Field: "require", Rule: "require.unknown",
				Message: "must list sections: subjects, vitals, images, reports, medications"})
		}
	}
	if len(bad) > 0 {
		return fault.Invalid(fault.ReasonQueryInvalid, "require names a section that there is not", bad[0])
	}
	return nil
}

// mayReadAny refuses a caller who may read no section at all.
func (l *GetProjectDetailsLogic) mayReadAny(project string, sources []source) error {
	user := auth.UserFrom(l.ctx)
	for _, s := range sources {
		if _, ok := user.May(auth.Read, s.kind, project); ok && user.CanAccess(project) {
			return nil
		}
	}
	if !user.CanAccess(project) {
		return fault.Denied(fault.ReasonNoGrant, "the token holds no grant for this project")
	}
	return fault.Denied(fault.ReasonRoleForbids, "the role in this project does not allow to read any section")
}

func (l *GetProjectDetailsLogic) section(a Asked, src source, take func(proto.Message)) Section {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, src.budget)
	defer cancel()
	var m proto.Message
	var err error
	if _, ok := auth.UserFrom(l.ctx).May(auth.Read, src.kind, a.Project); ok {
		m, err = safely.Do(ctx, func() (proto.Message, error) { return src.ask(ctx) })
	} else {
		err = fault.Denied(fault.ReasonRoleForbids, "the role in this project does not allow to read "+src.name)
	}
	s := Section{State: StateOK, ElapsedMs: time.Since(begun).Milliseconds()}
	if err == nil {
		take(m)
		s.Data = wire.Encode(m)
		return s
	}
	s.err = fault.From(err)
	if s.err.Code == codes.Canceled && l.ctx.Err() == nil { // Not the caller has left: the other end broke off.
		s.err = fault.Unavailable(fault.ReasonUnavailable, "the service broke the call off; back off and send again", time.Second).Because(err)
	}
	s.State, s.Reason, s.Message = stateOf(s.err), s.err.Reason, s.err.Message
	if a.Chinese {
		s.Message = problem.DetailZH(s.err, src.name)
	}
	return s
}

func stateOf(f *fault.Error) string {
	switch {
	case f.Code == codes.DeadlineExceeded:
		return StateTimeout
	case f.Reason == fault.ReasonOverloaded || f.Code == codes.ResourceExhausted:
		return StateOverloaded
	case f.Code == codes.Unavailable:
		return StateUnavailable
	}
	return StateFailed
}

// verdict says when a view is no answer at all.
func verdict(a Asked, sources []source, answers []Section) error {
	failed := 0
	for i, s := range answers {
		if s.err == nil {
			continue
		}
		failed++
		about := sources[i].name
		if s.err.Code == codes.Unauthenticated || s.err.Code == codes.Canceled {
			return s.err
		}
		if about == "subjects" && s.err.Code == codes.NotFound || slices.Contains(a.Require, about) {
			return &SectionError{Section: about, Fault: s.err}
		}
	}
	if failed < len(answers) {
		return nil
	}
	var names []string
	for i, s := range answers {
		if s.err.Code == codes.NotFound { // Of a role that may not ask for subjects.
			return &SectionError{Section: sources[i].name, Fault: s.err}
		}
		names = append(names, sources[i].name+": "+s.State)
	}
	return fault.Unavailable(fault.ReasonUnavailable, "no section answered ("+strings.Join(names, ", ")+"); back off and send again", time.Second)
}
