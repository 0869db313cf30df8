package logic_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"clinsource/internal/auth"
	"clinsource/project-api/internal/config"
	"clinsource/project-api/internal/svc"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// names are the sections, in the order in which they are told.
var names = []string{"subjects", "vitals", "images", "reports", "medications"}

// ask decides what becomes of the call for one section: an error, or nil for a
// whole answer.
type ask func(ctx context.Context) error

func whole(context.Context) error { return nil }

// fails answers with the error at once.
func fails(err error) ask { return func(context.Context) error { return err } }

// hangs answers when nobody waits any more.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// services are the downstream services: one ask a section, and who was asked
// about what.
type services struct {
	asks map[string]ask

	mu    sync.Mutex
	asked []string // "section project/patient"
}

func (s *services) answer(ctx context.Context, section, project, patient string) error {
	s.mu.Lock()
	s.asked = append(s.asked, section+" "+project+"/"+patient)
	s.mu.Unlock()
	return s.asks[section](ctx)
}

// wasAsked gives the calls so far, sorted.
func (s *services) wasAsked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.asked))
}

// The clients: what the view does not call is the embedded nil.
type (
	subjectClient struct {
		subjectpb.SubjectServiceClient
		*services
	}
	vitalsClient struct {
		vitalspb.VitalsServiceClient
		*services
	}
	dicomClient struct {
		dicompb.DicomServiceClient
		*services
	}
	eproClient struct {
		epropb.EproServiceClient
		*services
	}
	medicationClient struct {
		medicationpb.MedicationServiceClient
		*services
	}
)

func (c subjectClient) GetSubjectsSummary(ctx context.Context, in *subjectpb.GetSubjectsSummaryRequest, _ ...grpc.CallOption) (*subjectpb.GetSubjectsSummaryResponse, error) {
	if err := c.answer(ctx, "subjects", in.GetProjectId(), in.GetPatientId()); err != nil {
		return nil, err
	}
	return &subjectpb.GetSubjectsSummaryResponse{Project: &subjectpb.Project{ProjectId: in.GetProjectId(), Title: "A title"}, Count: 3}, nil
}

func (c vitalsClient) GetVitalsSummary(ctx context.Context, in *vitalspb.GetVitalsSummaryRequest, _ ...grpc.CallOption) (*vitalspb.GetVitalsSummaryResponse, error) {
	if err := c.answer(ctx, "vitals", in.GetProjectId(), in.GetPatientId()); err != nil {
		return nil, err
	}
	return &vitalspb.GetVitalsSummaryResponse{Count: 4, BloodPressureCategories: map[string]int64{"NORMAL": 4}}, nil
}

func (c dicomClient) GetImagesSummary(ctx context.Context, in *dicompb.GetImagesSummaryRequest, _ ...grpc.CallOption) (*dicompb.GetImagesSummaryResponse, error) {
	if err := c.answer(ctx, "images", in.GetProjectId(), in.GetPatientId()); err != nil {
		return nil, err
	}
	return &dicompb.GetImagesSummaryResponse{Count: 5}, nil
}

func (c eproClient) GetReportsSummary(ctx context.Context, in *epropb.GetReportsSummaryRequest, _ ...grpc.CallOption) (*epropb.GetReportsSummaryResponse, error) {
	if err := c.answer(ctx, "reports", in.GetProjectId(), in.GetPatientId()); err != nil {
		return nil, err
	}
	return &epropb.GetReportsSummaryResponse{Count: 6}, nil
}

func (c medicationClient) GetMedicationsSummary(ctx context.Context, in *medicationpb.GetMedicationsSummaryRequest, _ ...grpc.CallOption) (*medicationpb.GetMedicationsSummaryResponse, error) {
	if err := c.answer(ctx, "medications", in.GetProjectId(), in.GetPatientId()); err != nil {
		return nil, err
	}
	return &medicationpb.GetMedicationsSummaryResponse{Count: 7}, nil
}

// ample is a budget that no test waits for, brief one that a test waits out.
const (
	ample = 30 * time.Second
	brief = 50 * time.Millisecond
)

// gateway makes a context in which every section is whole, but for those given.
func gateway(special map[string]ask) (*svc.ServiceContext, *services) {
	s := &services{asks: map[string]ask{}}
	for _, name := range names {
		s.asks[name] = whole
		if f := special[name]; f != nil {
			s.asks[name] = f
		}
	}
	return &svc.ServiceContext{
		Budgets:    config.Budgets{Subjects: ample, Vitals: ample, Images: ample, Reports: ample, Medications: ample},
		SubjectRpc: subjectClient{services: s}, VitalsRpc: vitalsClient{services: s}, DicomRpc: dicomClient{services: s},
		EproRpc: eproClient{services: s}, MedicationRpc: medicationClient{services: s},
	}, s
}

// everywhere makes every section answer alike.
func everywhere(f ask) map[string]ask {
	special := map[string]ask{}
	for _, name := range names {
		special[name] = f
	}
	return special
}

var investigator = auth.Grant{Role: auth.Investigator, Project: "trial"}

// as is the context of a call by a user with these grants.
func as(t *testing.T, grants ...auth.Grant) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return auth.WithUser(ctx, &auth.User{Subject: "u1", Grants: grants})
}
