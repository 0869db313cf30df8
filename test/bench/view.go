package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"clinsource/internal/auth"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

const demoProject = "demo"

// sections are the five sections' own calls, as the gateway makes them, and
// where they go.
var sections = map[string]struct {
	process, addr string
	ask           func(ctx context.Context, conn *grpc.ClientConn) error
}{
	"subjects": {"subject-rpc", subjectAddr, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := subjectpb.NewSubjectServiceClient(conn).GetSubjectsSummary(ctx, &subjectpb.GetSubjectsSummaryRequest{ProjectId: demoProject})
		return err
	}},
	"vitals": {"vitals-rpc", vitalsAddr, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := vitalspb.NewVitalsServiceClient(conn).GetVitalsSummary(ctx, &vitalspb.GetVitalsSummaryRequest{ProjectId: demoProject})
		return err
	}},
	"images": {"dicom-rpc", dicomAddr, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := dicompb.NewDicomServiceClient(conn).GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{ProjectId: demoProject})
		return err
	}},
	"reports": {"epro-rpc", eproAddr, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := epropb.NewEproServiceClient(conn).GetReportsSummary(ctx, &epropb.GetReportsSummaryRequest{ProjectId: demoProject})
		return err
	}},
	"medications": {"subject-rpc", subjectAddr, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := medicationpb.NewMedicationServiceClient(conn).GetMedicationsSummary(ctx, &medicationpb.GetMedicationsSummaryRequest{ProjectId: demoProject})
		return err
	}},
}

// viewGroup is the view of the project demo, and beside it the call of the
// section that was slowest in the view last measured, alone.
func viewGroup(ctx context.Context, b *bench, g *group) error {
	g.title, g.unit = "View of the project demo", "view"
	if err := demo(ctx, b.bin); err != nil {
		return err
	}
	monitor, err := token(auth.Grant{Role: auth.Monitor, Project: demoProject})
	if err != nil {
		return err
	}
	web, err := newWeb(b.callers, false)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, web.CloseIdleConnections)
	conns := map[string]*grpc.ClientConn{}
	for name, s := range sections {
		if conns[name], err = dial(s.process, s.addr, "project-api"); err != nil {
			return err
		}
		g.closers = append(g.closers, func() { _ = conns[name].Close() })
	}
	var slowest slowestSection
	view := func(ctx context.Context, _ int) (time.Duration, error) { return slowest.view(ctx, web, monitor) }
	alone := func(ctx context.Context, _ int) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(authorized(ctx, monitor), callWithin)
		defer cancel()
		name := slowest.name()
		return 0, sections[name].ask(ctx, conns[name])
	}
	crowd := b.contender(g, "view, HTTP/1.1", b.callers, view)
	crowdAlone := b.contender(g, "its slowest section's call alone", b.callers, alone)
	single := b.contender(g, "view, one caller", 1, view)
	singleAlone := b.contender(g, "that call alone, one caller", 1, alone)
	g.goals = []goal{
		{what: "view / its slowest section as the view itself tells it", want: 1.2, atMost: true, ratios: overItsBeat(crowd)},
		{what: "  view / that section's call alone, straight to its service", atMost: true, ratios: latencyOver(crowd, crowdAlone)},
		{what: "  the same, one caller", atMost: true, ratios: latencyOver(single, singleAlone)},
	}
	return nil
}

// slowestSection remembers which section kept the last view waiting.
type slowestSection struct{ last atomic.Pointer[string] }

func (s *slowestSection) name() string {
	if name := s.last.Load(); name != nil {
		return *name
	}
	return "subjects"
}

// view gets one view and gives the time that its slowest section took.
func (s *slowestSection) view(ctx context.Context, web *http.Client, token string) (time.Duration, error) {
	body, err := send(ctx, web, http.MethodGet, "/v1/projects/"+demoProject, token, nil)
	if err != nil {
		return 0, err
	}
	name, took, err := slowestOf(body)
	s.last.Store(&name)
	return took, err
}

// slowestOf reads a view, which must be whole, and gives its slowest section.
func slowestOf(body []byte) (name string, took time.Duration, err error) {
	var view struct {
		Sections map[string]struct {
			State     string `json:"state"`
			ElapsedMs int64  `json:"elapsed_ms"`
		} `json:"sections"`
	}
	if err := json.Unmarshal(body, &view); err != nil {
		return "", 0, err
	}
	if len(view.Sections) != len(sections) {
		return "", 0, fmt.Errorf("the view has %d sections, want %d", len(view.Sections), len(sections))
	}
	for of, section := range view.Sections {
		if section.State != "ok" {
			return "", 0, errors.New("the view's section " + of + " is " + section.State)
		}
		if d := time.Duration(section.ElapsedMs) * time.Millisecond; d > took || name == "" {
			name, took = of, d
		}
	}
	return name, took, nil
}
