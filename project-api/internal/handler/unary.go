package handler

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// rpc is a method of a client.
type rpc[In, Out proto.Message] func(ctx context.Context, in In, opts ...grpc.CallOption) (Out, error)

// create reads a body, calls a service within the write budget, and answers 201
// for what is new and 200 for what was there.
func create[In, Out proto.Message](c *call, in In, do rpc[In, Out]) error {
	if err := c.read(in); err != nil {
		return err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Write)
	defer cancel()
	out, err := do(ctx, in)
	if err != nil {
		return err
	}
	return c.answer(createdStatus(out), out)
}

func createdStatus(out proto.Message) int {
	if o, ok := out.(interface{ GetCreated() bool }); ok && o.GetCreated() {
		return http.StatusCreated
	}
	return http.StatusOK
}

// list calls a service within a read budget, with the page that the query asks for.
func list[In, Out proto.Message](c *call, in In, budget time.Duration, do rpc[In, Out]) error {
	if err := c.bind(in); err != nil {
		return err
	}
	if err := c.bindPage(in); err != nil {
		return err
	}
	ctx, cancel := c.within(budget)
	defer cancel()
	out, err := do(ctx, in)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
}

func (c *call) bindPage(in proto.Message) error {
	query := c.r.URL.Query()
	m := in.ProtoReflect()
	fields := m.Descriptor().Fields()
	if text := query.Get("page_size"); text != "" {
		size, err := strconv.ParseInt(text, 10, 32)
		if errors.Is(err, strconv.ErrRange) { // size is then the nearest that fits: as good as any over 1000.
			err = nil
		}
		if err != nil {
			return fault.Invalid(fault.ReasonQueryInvalid, "page_size must be a whole number",
				fault.Violation{Field: "page_size", Rule: "page.size", Message: "must be a whole number from 0 (50) to 1000"})
		}
		m.Set(fields.ByName("page_size"), protoreflect.ValueOfInt32(int32(size)))
	}
	if token := query.Get("page_token"); token != "" {
		m.Set(fields.ByName("page_token"), protoreflect.ValueOfString(token))
	}
	return nil
}

func createProject(c *call) error {
	return create(c, &subjectpb.CreateProjectRequest{}, c.svcCtx.SubjectRpc.CreateProject)
}

func listProjects(c *call) error {
	return list(c, &subjectpb.ListProjectsRequest{}, c.svcCtx.Budgets.Subjects, c.svcCtx.SubjectRpc.ListProjects)
}

func createSite(c *call) error {
	return create(c, &subjectpb.CreateSiteRequest{}, c.svcCtx.SubjectRpc.CreateSite)
}

func listSites(c *call) error {
	return list(c, &subjectpb.ListSitesRequest{}, c.svcCtx.Budgets.Subjects, c.svcCtx.SubjectRpc.ListSites)
}

func listSubjects(c *call) error {
	return list(c, &subjectpb.ListSubjectsRequest{}, c.svcCtx.Budgets.Subjects, c.svcCtx.SubjectRpc.ListSubjects)
}

func createSubject(c *call) error {
	return create(c, &subjectpb.CreateSubjectRequest{}, c.svcCtx.SubjectRpc.CreateSubject)
}

// subjectVerbs are what POST .../subjects/{patient_id}:verb takes.
var subjectVerbs = []string{"withdraw"}

func withdrawSubject(c *call) error {
	return create(c, &subjectpb.WithdrawSubjectRequest{}, c.svcCtx.SubjectRpc.WithdrawSubject)
}

// splitVerb cuts a verb off the patient's id, at the last colon.
func splitVerb(vars map[string]string) (verb string) {
	id := vars["patient_id"]
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return ""
	}
	vars["patient_id"] = id[:i]
	return id[i+1:]
}

func uploadVitals(c *call) error {
	return create(c, &vitalspb.UploadVitalsRequest{}, c.svcCtx.VitalsRpc.UploadVitals)
}

func listVitals(c *call) error {
	return list(c, &vitalspb.ListVitalsRequest{}, c.svcCtx.Budgets.Vitals, c.svcCtx.VitalsRpc.ListVitals)
}

func listImages(c *call) error {
	return list(c, &dicompb.ListImagesRequest{}, c.svcCtx.Budgets.Images, c.svcCtx.DicomRpc.ListImages)
}

func submitReport(c *call) error {
	return create(c, &epropb.SubmitReportRequest{}, c.svcCtx.EproRpc.SubmitReport)
}

func listReports(c *call) error {
	return list(c, &epropb.GetPatientReportsRequest{}, c.svcCtx.Budgets.Reports, c.svcCtx.EproRpc.GetPatientReports)
}

func recordMedication(c *call) error {
	return create(c, &medicationpb.RecordMedicationRequest{}, c.svcCtx.MedicationRpc.RecordMedication)
}

func listMedications(c *call) error {
	return list(c, &medicationpb.ListMedicationsRequest{}, c.svcCtx.Budgets.Medications, c.svcCtx.MedicationRpc.ListMedications)
}
