package openapi

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"clinsource/internal/auditservice"
	"clinsource/project-api/internal/svc"
	accesspb "clinsource/proto/access"
	auditpb "clinsource/proto/audit"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// The services as the gateway sees them: each answers with a full message, or
// with err where that is set. A method that no route calls is the embedded nil.

type vitalsFake struct {
	vitalspb.VitalsServiceClient
	err error
}

// full gives a message in which every field is set, unless err.
func full[M interface {
	*T
	proto.Message
}, T any](err error) (M, error) {
	if err != nil {
		return nil, err
	}
	m := M(new(T))
	fill(m.ProtoReflect())
	return m, nil
}

func (f vitalsFake) UploadVitals(context.Context, *vitalspb.UploadVitalsRequest, ...grpc.CallOption) (*vitalspb.UploadVitalsResponse, error) {
	return full[*vitalspb.UploadVitalsResponse](f.err)
}

func (f vitalsFake) ListVitals(context.Context, *vitalspb.ListVitalsRequest, ...grpc.CallOption) (*vitalspb.ListVitalsResponse, error) {
	return full[*vitalspb.ListVitalsResponse](f.err)
}

func (f vitalsFake) GetVitalsSummary(context.Context, *vitalspb.GetVitalsSummaryRequest, ...grpc.CallOption) (*vitalspb.GetVitalsSummaryResponse, error) {
	return full[*vitalspb.GetVitalsSummaryResponse](f.err)
}

type eproFake struct {
	epropb.EproServiceClient
	err error
}

func (f eproFake) SubmitReport(context.Context, *epropb.SubmitReportRequest, ...grpc.CallOption) (*epropb.SubmitReportResponse, error) {
	return full[*epropb.SubmitReportResponse](f.err)
}

func (f eproFake) GetPatientReports(context.Context, *epropb.GetPatientReportsRequest, ...grpc.CallOption) (*epropb.GetPatientReportsResponse, error) {
	return full[*epropb.GetPatientReportsResponse](f.err)
}

func (f eproFake) GetReportsSummary(context.Context, *epropb.GetReportsSummaryRequest, ...grpc.CallOption) (*epropb.GetReportsSummaryResponse, error) {
	return full[*epropb.GetReportsSummaryResponse](f.err)
}

type accessFake struct {
	accesspb.AccessServiceClient
	err error
}

func (f accessFake) TakeEmergencyAccess(context.Context, *accesspb.TakeEmergencyAccessRequest, ...grpc.CallOption) (*accesspb.TakeEmergencyAccessResponse, error) {
	return full[*accesspb.TakeEmergencyAccessResponse](f.err)
}

func (f accessFake) CreateGrant(context.Context, *accesspb.CreateGrantRequest, ...grpc.CallOption) (*accesspb.CreateGrantResponse, error) {
	return full[*accesspb.CreateGrantResponse](f.err)
}

func (f accessFake) ListGrants(context.Context, *accesspb.ListGrantsRequest, ...grpc.CallOption) (*accesspb.ListGrantsResponse, error) {
	return full[*accesspb.ListGrantsResponse](f.err)
}

func (f accessFake) RevokeGrant(context.Context, *accesspb.RevokeGrantRequest, ...grpc.CallOption) (*accesspb.RevokeGrantResponse, error) {
	return full[*accesspb.RevokeGrantResponse](f.err)
}

func (f accessFake) DisableAccount(context.Context, *accesspb.DisableAccountRequest, ...grpc.CallOption) (*accesspb.DisableAccountResponse, error) {
	return full[*accesspb.DisableAccountResponse](f.err)
}

func (f accessFake) EnableAccount(context.Context, *accesspb.EnableAccountRequest, ...grpc.CallOption) (*accesspb.EnableAccountResponse, error) {
	return full[*accesspb.EnableAccountResponse](f.err)
}

type medicationFake struct {
	medicationpb.MedicationServiceClient
	err error
}

func (f medicationFake) RecordMedication(context.Context, *medicationpb.RecordMedicationRequest, ...grpc.CallOption) (*medicationpb.RecordMedicationResponse, error) {
	return full[*medicationpb.RecordMedicationResponse](f.err)
}

func (f medicationFake) ListMedications(context.Context, *medicationpb.ListMedicationsRequest, ...grpc.CallOption) (*medicationpb.ListMedicationsResponse, error) {
	return full[*medicationpb.ListMedicationsResponse](f.err)
}

func (f medicationFake) GetMedicationsSummary(context.Context, *medicationpb.GetMedicationsSummaryRequest, ...grpc.CallOption) (*medicationpb.GetMedicationsSummaryResponse, error) {
	return full[*medicationpb.GetMedicationsSummaryResponse](f.err)
}

type subjectFake struct {
	subjectpb.SubjectServiceClient
	err error
}

func (f subjectFake) CreateProject(context.Context, *subjectpb.CreateProjectRequest, ...grpc.CallOption) (*subjectpb.CreateProjectResponse, error) {
	return full[*subjectpb.CreateProjectResponse](f.err)
}

func (f subjectFake) ListProjects(context.Context, *subjectpb.ListProjectsRequest, ...grpc.CallOption) (*subjectpb.ListProjectsResponse, error) {
	return full[*subjectpb.ListProjectsResponse](f.err)
}

func (f subjectFake) CreateSite(context.Context, *subjectpb.CreateSiteRequest, ...grpc.CallOption) (*subjectpb.CreateSiteResponse, error) {
	return full[*subjectpb.CreateSiteResponse](f.err)
}

func (f subjectFake) ListSites(context.Context, *subjectpb.ListSitesRequest, ...grpc.CallOption) (*subjectpb.ListSitesResponse, error) {
	return full[*subjectpb.ListSitesResponse](f.err)
}

func (f subjectFake) CreateSubject(context.Context, *subjectpb.CreateSubjectRequest, ...grpc.CallOption) (*subjectpb.CreateSubjectResponse, error) {
	return full[*subjectpb.CreateSubjectResponse](f.err)
}

func (f subjectFake) ListSubjects(context.Context, *subjectpb.ListSubjectsRequest, ...grpc.CallOption) (*subjectpb.ListSubjectsResponse, error) {
	return full[*subjectpb.ListSubjectsResponse](f.err)
}

func (f subjectFake) WithdrawSubject(context.Context, *subjectpb.WithdrawSubjectRequest, ...grpc.CallOption) (*subjectpb.WithdrawSubjectResponse, error) {
	return full[*subjectpb.WithdrawSubjectResponse](f.err)
}

func (f subjectFake) GetSubjectsSummary(context.Context, *subjectpb.GetSubjectsSummaryRequest, ...grpc.CallOption) (*subjectpb.GetSubjectsSummaryResponse, error) {
	return full[*subjectpb.GetSubjectsSummaryResponse](f.err)
}

type dicomFake struct {
	dicompb.DicomServiceClient
	err error
}

const imageBytes = "not looked into"

func (f dicomFake) ListImages(context.Context, *dicompb.ListImagesRequest, ...grpc.CallOption) (*dicompb.ListImagesResponse, error) {
	return full[*dicompb.ListImagesResponse](f.err)
}

func (f dicomFake) GetImagesSummary(context.Context, *dicompb.GetImagesSummaryRequest, ...grpc.CallOption) (*dicompb.GetImagesSummaryResponse, error) {
	return full[*dicompb.GetImagesSummaryResponse](f.err)
}

func (f dicomFake) UploadDicom(context.Context, ...grpc.CallOption) (dicompb.DicomService_UploadDicomClient, error) {
	return uploadFake{err: f.err}, nil
}

func (f dicomFake) CreateUpload(context.Context, *dicompb.CreateUploadRequest, ...grpc.CallOption) (*dicompb.Upload, error) {
	return openUpload(f.err)
}

func (f dicomFake) GetUpload(context.Context, *dicompb.GetUploadRequest, ...grpc.CallOption) (*dicompb.Upload, error) {
	return openUpload(f.err)
}

func (f dicomFake) AbortUpload(context.Context, *dicompb.AbortUploadRequest, ...grpc.CallOption) (*dicompb.Upload, error) {
	return openUpload(f.err)
}

// openUpload is an upload in the middle.
func openUpload(err error) (*dicompb.Upload, error) {
	upload, err := full[*dicompb.Upload](err)
	if err == nil {
		upload.State, upload.Offset, upload.Size = dicompb.UploadState_OPEN, 0, uint64(len(imageBytes))
	}
	return upload, err
}

func (f dicomFake) DownloadDicom(context.Context, *dicompb.DownloadDicomRequest, ...grpc.CallOption) (dicompb.DicomService_DownloadDicomClient, error) {
	image := &dicompb.Image{Size: uint64(len(imageBytes)), Sha256: "00ff"}
	return &downloadFake{err: f.err, left: []*dicompb.DownloadDicomResponse{
		{Data: &dicompb.DownloadDicomResponse_Image{Image: image}},
		{Data: &dicompb.DownloadDicomResponse_Chunk{Chunk: []byte(imageBytes)}},
	}}, nil
}

type uploadFake struct {
	dicompb.DicomService_UploadDicomClient
	err error
}

func (f uploadFake) Send(*dicompb.UploadDicomRequest) error { return nil }

func (f uploadFake) CloseSend() error { return nil }

// RecvMsg answers at once, as a service does that has all it waited for.
func (f uploadFake) RecvMsg(into any) error {
	answer, err := full[*dicompb.UploadDicomResponse](f.err)
	if err == nil {
		proto.Merge(into.(proto.Message), answer)
	}
	return err
}

type downloadFake struct {
	dicompb.DicomService_DownloadDicomClient
	err  error
	left []*dicompb.DownloadDicomResponse
}

func (f *downloadFake) Recv() (*dicompb.DownloadDicomResponse, error) {
	if f.err != nil {
		return nil, f.err
	}
	if len(f.left) == 0 {
		return nil, io.EOF
	}
	next := f.left[0]
	f.left = f.left[1:]
	return next, nil
}

type auditFake struct {
	auditpb.AuditServiceClient
	err error
}

func (f auditFake) ListAudit(context.Context, *auditpb.ListAuditRequest, ...grpc.CallOption) (*auditpb.ListAuditResponse, error) {
	return full[*auditpb.ListAuditResponse](f.err)
}

func (f auditFake) ListAccess(context.Context, *auditpb.ListAccessRequest, ...grpc.CallOption) (*auditpb.ListAccessResponse, error) {
	return full[*auditpb.ListAccessResponse](f.err)
}

func (f auditFake) ExportAudit(context.Context, *auditpb.ExportAuditRequest, ...grpc.CallOption) (auditpb.AuditService_ExportAuditClient, error) {
	return &exportFake{err: f.err}, nil
}

type exportFake struct {
	auditpb.AuditService_ExportAuditClient
	err  error
	sent bool
}

func (f *exportFake) Recv() (*auditpb.ExportAuditResponse, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.sent:
		return nil, io.EOF
	}
	f.sent = true
	return &auditpb.ExportAuditResponse{Lines: []byte("{}\n")}, nil
}

// failing makes every service answer with err.
func failing(err error) func(*svc.ServiceContext) {
	return func(s *svc.ServiceContext) {
		s.VitalsRpc, s.DicomRpc, s.EproRpc = vitalsFake{err: err}, dicomFake{err: err}, eproFake{err: err}
		s.AccessRpc = accessFake{err: err}
		s.SubjectRpc, s.MedicationRpc = subjectFake{err: err}, medicationFake{err: err}
		s.Audit = map[string]auditservice.AuditService{}
		for _, name := range []string{"vitals", "dicom", "epro", "subject"} {
			s.Audit[name] = auditFake{err: err}
		}
	}
}

func (f vitalsFake) AmendVitals(context.Context, *vitalspb.AmendVitalsRequest, ...grpc.CallOption) (*vitalspb.AmendVitalsResponse, error) {
	return full[*vitalspb.AmendVitalsResponse](f.err)
}

func (f vitalsFake) VoidVitals(context.Context, *recordpb.VoidRecordRequest, ...grpc.CallOption) (*vitalspb.VoidVitalsResponse, error) {
	return full[*vitalspb.VoidVitalsResponse](f.err)
}

func (f vitalsFake) ListVitalsVersions(context.Context, *recordpb.ListRecordVersionsRequest, ...grpc.CallOption) (*vitalspb.ListVitalsVersionsResponse, error) {
	return full[*vitalspb.ListVitalsVersionsResponse](f.err)
}

func (f eproFake) AmendReport(context.Context, *epropb.AmendReportRequest, ...grpc.CallOption) (*epropb.AmendReportResponse, error) {
	return full[*epropb.AmendReportResponse](f.err)
}

func (f eproFake) VoidReport(context.Context, *recordpb.VoidRecordRequest, ...grpc.CallOption) (*epropb.VoidReportResponse, error) {
	return full[*epropb.VoidReportResponse](f.err)
}

func (f eproFake) ListReportVersions(context.Context, *recordpb.ListRecordVersionsRequest, ...grpc.CallOption) (*epropb.ListReportVersionsResponse, error) {
	return full[*epropb.ListReportVersionsResponse](f.err)
}

func (f medicationFake) AmendMedication(context.Context, *medicationpb.AmendMedicationRequest, ...grpc.CallOption) (*medicationpb.AmendMedicationResponse, error) {
	return full[*medicationpb.AmendMedicationResponse](f.err)
}

func (f medicationFake) VoidMedication(context.Context, *recordpb.VoidRecordRequest, ...grpc.CallOption) (*medicationpb.VoidMedicationResponse, error) {
	return full[*medicationpb.VoidMedicationResponse](f.err)
}

func (f medicationFake) ListMedicationVersions(context.Context, *recordpb.ListRecordVersionsRequest, ...grpc.CallOption) (*medicationpb.ListMedicationVersionsResponse, error) {
	return full[*medicationpb.ListMedicationVersionsResponse](f.err)
}

func (f subjectFake) RecordConsent(context.Context, *subjectpb.RecordConsentRequest, ...grpc.CallOption) (*subjectpb.RecordConsentResponse, error) {
	return full[*subjectpb.RecordConsentResponse](f.err)
}

func (f subjectFake) ListConsents(context.Context, *subjectpb.ListConsentsRequest, ...grpc.CallOption) (*subjectpb.ListConsentsResponse, error) {
	return full[*subjectpb.ListConsentsResponse](f.err)
}
