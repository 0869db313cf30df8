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
	"clinsource/project-api/internal/wire"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
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

// correct reads a correction, calls a service within the write budget, and
// answers 200 with the version that it became; created says whether it did now.
func correct[In, Out proto.Message](c *call, in In, decode func(body []byte, into proto.Message) error, do rpc[In, Out]) error {
	data, err := c.body(maxBody)
	if err != nil {
		return err
	}
	if err := decode(data, in); err != nil {
		return err
	}
	if err := c.bind(in); err != nil {
		return err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Write)
	defer cancel()
	out, err := do(ctx, in)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
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
	switch query.Get("include_voided") {
	case "", "false":
	case "true":
		m.Set(fields.ByName("include_voided"), protoreflect.ValueOfBool(true))
	default:
		return fault.Invalid(fault.ReasonQueryInvalid, "include_voided must be true or false",
			fault.Violation{Field: "include_voided", Rule: "query.boolean", Message: "must be true or false"})
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

func withdrawSubject(c *call) error {
	return create(c, &subjectpb.WithdrawSubjectRequest{}, c.svcCtx.SubjectRpc.WithdrawSubject)
}

// splitVerb cuts a verb off the id with which the path ends, at the last colon.
func splitVerb(path string, vars map[string]string) (verb string) {
	name := path[strings.LastIndexByte(path, ':')+1:]
	id := vars[name]
	i := strings.LastIndexByte(id, ':')
	if i < 0 {
		return ""
	}
	vars[name] = id[:i]
	return id[i+1:]
}

func recordConsent(c *call) error {
	return create(c, &subjectpb.RecordConsentRequest{}, c.svcCtx.SubjectRpc.RecordConsent)
}

func listConsents(c *call) error {
	return list(c, &subjectpb.ListConsentsRequest{}, c.svcCtx.Budgets.Subjects, c.svcCtx.SubjectRpc.ListConsents)
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

func amendVitals(c *call) error {
	return correct(c, &vitalspb.AmendVitalsRequest{}, wire.DecodeCorrection, c.svcCtx.VitalsRpc.AmendVitals)
}

func voidVitals(c *call) error {
	return correct(c, &recordpb.VoidRecordRequest{}, wire.Decode, c.svcCtx.VitalsRpc.VoidVitals)
}

func listVitalsVersions(c *call) error {
	return list(c, &recordpb.ListRecordVersionsRequest{}, c.svcCtx.Budgets.Vitals, c.svcCtx.VitalsRpc.ListVitalsVersions)
}

func submitReport(c *call) error {
	return create(c, &epropb.SubmitReportRequest{}, c.svcCtx.EproRpc.SubmitReport)
}

func listReports(c *call) error {
	return list(c, &epropb.GetPatientReportsRequest{}, c.svcCtx.Budgets.Reports, c.svcCtx.EproRpc.GetPatientReports)
}

func amendReport(c *call) error {
	return correct(c, &epropb.AmendReportRequest{}, wire.DecodeCorrection, c.svcCtx.EproRpc.AmendReport)
}

func voidReport(c *call) error {
	return correct(c, &recordpb.VoidRecordRequest{}, wire.Decode, c.svcCtx.EproRpc.VoidReport)
}

func listReportVersions(c *call) error {
	return list(c, &recordpb.ListRecordVersionsRequest{}, c.svcCtx.Budgets.Reports, c.svcCtx.EproRpc.ListReportVersions)
}

func recordMedication(c *call) error {
	return create(c, &medicationpb.RecordMedicationRequest{}, c.svcCtx.MedicationRpc.RecordMedication)
}

func listMedications(c *call) error {
	return list(c, &medicationpb.ListMedicationsRequest{}, c.svcCtx.Budgets.Medications, c.svcCtx.MedicationRpc.ListMedications)
}

func amendMedication(c *call) error {
	return correct(c, &medicationpb.AmendMedicationRequest{}, wire.DecodeCorrection, c.svcCtx.MedicationRpc.AmendMedication)
}

func voidMedication(c *call) error {
	return correct(c, &recordpb.VoidRecordRequest{}, wire.Decode, c.svcCtx.MedicationRpc.VoidMedication)
}

func listMedicationVersions(c *call) error {
	return list(c, &recordpb.ListRecordVersionsRequest{}, c.svcCtx.Budgets.Medications, c.svcCtx.MedicationRpc.ListMedicationVersions)
}
