// Package access is the matrix of who may do what: every RPC of every gRPC service
// and every route of the gateway, by every role, at the own site, another site, and
// in another project. Rows is its table, the policy (etc/policy.cedar) gives what
// each cell must be, docs/access-matrix.md shows it, and test/scenario calls every
// cell of a running suite.
//
// A new RPC or route fails TestEveryCallHasARow until it has its row here.
package access

import "clinsource/internal/auth"

// Where says what a call names, and so what tells allowed from forbidden.
type Where int

// What calls name.
const (
	Open      Where = iota // Nothing: it takes no token.
	Anyone                 // Nothing: whoever has a token; it shows what their grants reach.
	Setup                  // Nothing: it concerns all projects.
	Log                    // Nothing: whoever reads the audit log of any project, or sets projects up.
	Creation               // A project that is not there yet.
	Project                // A project.
	Whole                  // A project as a whole: a role confined to some sites may not.
	Site                   // A project and one of its sites.
	Subject                // A project and one of its subjects.
	Patient                // A subject, or what belongs to one, and no project (gRPC).
	Image                  // An image, and nothing else (gRPC).
	View                   // A project, and all kinds of records that may be read of it.
	View1                  // The same of one subject.
	GrantID                // A grant.
	Another                // An upload of somebody else's.
	PeersOnly              // What only other processes of the suite ask, by their certificates.
)

// Row is one RPC or route.
type Row struct {
	Call  string // package.Service/Method, or METHOD and path as the contract writes it.
	Do    auth.Action
	What  auth.Kind
	Where Where
	// Body is a good request, in JSON; of a stream of requests, a list. {project},
	// {site}, {patient}, {image}, {grant}, {upload} are the target's; {new} is an
	// identifier that nobody has; {dicom} is a small image of the patient in base64.
	Body string
	// New gives each cell a subject of its own, with a record of each kind: for calls
	// that leave it changed. Its records are {vitals}, {reports}, {medications}.
	New bool
}

const (
	vitalsBody = `"client_record_id":"{new}","heart_rate":{"beats_per_minute":70},`
	reportBody = `"client_record_id":"{new}","questionnaire_id":"q","questionnaire_version":"1","answers":[{"link_id":"1","boolean_value":true}],`
	medication = `"client_record_id":"{new}","medication":{"system":"s:1","code":"c"},"route":{"system":"s:1","code":"c"},"dose":{"value":1,"ucum_unit":"mg"},"start_time":"2026-05-01T08:00:00Z"`
	vitals     = `{"records":[{` + vitalsBody + `"measurement_time":"2026-05-01T08:00:00Z"}]}`
	forPatient = `{"patient_id":"{patient}"}`
	ofProject  = `{"project_id":"{project}"}`
	ofBoth     = `{"project_id":"{project}","patient_id":"{patient}"}`
	subject    = "/v1/projects/{project_id}/subjects/{patient_id}"
	grantBody  = `"sub":"{new}","role":"monitor","project_id":"{project}"`
)

// Rows is the table.
var Rows = []Row{
	{"vitals.VitalsService/UploadVitals", auth.Write, auth.Vitals, Patient, `{"patient_id":"{patient}",` + vitalsBody + `"source_time_text":"2026-05-01T08:00:00Z"}`, false},
	{"vitals.VitalsService/ListVitals", auth.Read, auth.Vitals, Patient, forPatient, false},
	{"vitals.VitalsService/GetLatestVitals", auth.Read, auth.Vitals, Project, ofProject, false},
	{"vitals.VitalsService/GetVitalsSummary", auth.Read, auth.Vitals, Project, ofProject, false},
	{"vitals.VitalsService/AmendVitals", auth.Amend, auth.Vitals, Patient, `{"patient_id":"{patient}","record_id":"{vitals}","base_version":1,"reason":"read off wrongly","heart_rate":{"beats_per_minute":71}}`, true},
	{"vitals.VitalsService/VoidVitals", auth.Amend, auth.Vitals, Patient, `{"patient_id":"{patient}","record_id":"{vitals}","base_version":1,"reason":"read off wrongly"}`, true},
	{"vitals.VitalsService/ListVitalsVersions", auth.Read, auth.Vitals, Patient, `{"patient_id":"{patient}","record_id":"{vitals}"}`, false},
	{"dicom.DicomService/UploadDicom", auth.Write, auth.Images, Patient, `[{"info":{"file_type":"dcm","patient_id":"{patient}"}},{"chunk":"{dicom}"}]`, false},
	{"dicom.DicomService/CreateUpload", auth.Write, auth.Images, Patient, `{"patient_id":"{patient}","file_type":"dcm","size":100}`, false},
	{"dicom.DicomService/GetUpload", auth.Write, auth.Images, Another, `{"upload_id":"{upload}"}`, false},
	{"dicom.DicomService/AbortUpload", auth.Write, auth.Images, Another, `{"upload_id":"{upload}"}`, false},
	{"dicom.DicomService/ListImages", auth.Read, auth.Images, Patient, forPatient, false},
	{"dicom.DicomService/DownloadDicom", auth.Read, auth.Images, Image, `{"image_id":"{image}"}`, false},
	{"dicom.DicomService/GetImagesSummary", auth.Read, auth.Images, Project, ofProject, false},
	{"epro.EproService/SubmitReport", auth.Write, auth.Reports, Patient, `{"patient_id":"{patient}",` + reportBody + `"source_time_text":"2026-05-01T08:00:00Z"}`, false},
	{"epro.EproService/GetPatientReports", auth.Read, auth.Reports, Patient, forPatient, false},
	{"epro.EproService/ListReports", auth.Read, auth.Reports, Project, ofProject, false},
	{"epro.EproService/GetReportsSummary", auth.Read, auth.Reports, Project, ofProject, false},
	{"epro.EproService/AmendReport", auth.Amend, auth.Reports, Patient, `{"patient_id":"{patient}","record_id":"{reports}","base_version":1,"reason":"read off wrongly","answers":[{"link_id":"1","boolean_value":false}]}`, true},
	{"epro.EproService/VoidReport", auth.Amend, auth.Reports, Patient, `{"patient_id":"{patient}","record_id":"{reports}","base_version":1,"reason":"read off wrongly"}`, true},
	{"epro.EproService/ListReportVersions", auth.Read, auth.Reports, Patient, `{"patient_id":"{patient}","record_id":"{reports}"}`, false},
	{"medication.MedicationService/RecordMedication", auth.Write, auth.Medications, Patient, `{"patient_id":"{patient}",` + medication + `}`, false},
	{"medication.MedicationService/ListMedications", auth.Read, auth.Medications, Patient, forPatient, false},
	{"medication.MedicationService/GetMedicationsSummary", auth.Read, auth.Medications, Project, ofProject, false},
	{"medication.MedicationService/AmendMedication", auth.Amend, auth.Medications, Patient, `{"patient_id":"{patient}","record_id":"{medications}","base_version":1,"reason":"read off wrongly","dose":{"value":2,"ucum_unit":"mg"}}`, true},
	{"medication.MedicationService/VoidMedication", auth.Amend, auth.Medications, Patient, `{"patient_id":"{patient}","record_id":"{medications}","base_version":1,"reason":"read off wrongly"}`, true},
	{"medication.MedicationService/ListMedicationVersions", auth.Read, auth.Medications, Patient, `{"patient_id":"{patient}","record_id":"{medications}"}`, false},
	{"subject.SubjectService/CreateProject", auth.Write, auth.Projects, Creation, `{"project_id":"{new}"}`, false},
	{"subject.SubjectService/ListProjects", auth.Read, auth.Projects, Anyone, `{}`, false},
	{"subject.SubjectService/CreateSite", auth.Write, auth.Sites, Whole, `{"project_id":"{project}","site_id":"{new}"}`, false},
	{"subject.SubjectService/ListSites", auth.Read, auth.Sites, Project, ofProject, false},
	{"subject.SubjectService/CreateSubject", auth.Write, auth.Subjects, Site, `{"project_id":"{project}","site_id":"{site}","patient_id":"{new}"}`, false},
	{"subject.SubjectService/GetSubject", auth.Read, auth.Subjects, Subject, ofBoth, false},
	{"subject.SubjectService/ListSubjects", auth.Read, auth.Subjects, Project, ofProject, false},
	{"subject.SubjectService/WithdrawSubject", auth.Write, auth.Subjects, Subject, `{"project_id":"{project}","patient_id":"{patient}","source_time_text":"2026-06-01T08:00:00Z"}`, true},
	{"subject.SubjectService/RecordConsent", auth.Write, auth.Consents, Subject, `{"project_id":"{project}","patient_id":"{patient}","purpose":"future-research","state":"CONSENT_GIVEN","form_version":"1","source_time_text":"2026-05-01T08:00:00Z"}`, false},
	{"subject.SubjectService/ListConsents", auth.Read, auth.Consents, Subject, ofBoth, false},
	{"subject.SubjectService/GetSubjectsSummary", auth.Read, auth.Subjects, Project, ofProject, false},
	{"subject.SubjectResolver/ResolveSubject", auth.Read, auth.Subjects, PeersOnly, forPatient, false},
	{"access.AccessService/CreateGrant", auth.Write, auth.Grants, Whole, `{` + grantBody + `}`, false},
	{"access.AccessService/ListGrants", auth.Read, auth.Grants, Whole, ofProject, false},
	{"access.AccessService/RevokeGrant", auth.Write, auth.Grants, GrantID, `{"grant_id":"{grant}"}`, true},
	{"access.AccessService/DisableAccount", auth.Write, auth.Accounts, Setup, `{"sub":"{new}"}`, false},
	{"access.AccessService/EnableAccount", auth.Write, auth.Accounts, Setup, `{"sub":"{new}"}`, false},
	{"audit.AuditService/ListAudit", auth.Read, auth.Audit, Project, ofProject, false},
	{"audit.AuditService/ListAccess", auth.Read, auth.Audit, Subject, ofBoth, false},
	{"audit.AuditService/ExportAudit", auth.Read, auth.Audit, Log, `{}`, false},
	{"audit.AuditIntake/RecordRefusals", auth.Write, auth.Audit, PeersOnly, `{}`, false},
	{"access.AccountResolver/ResolveAccount", auth.Read, auth.Accounts, PeersOnly, `{"issuer":"i","sub":"s"}`, false},

	{"GET /healthz", auth.Read, "", Open, "", false},
	{"GET /readyz", auth.Read, "", Open, "", false},
	{"GET /docs", auth.Read, "", Open, "", false},
	{"GET /docs/{file}", auth.Read, "", Open, "", false},
	{"GET /docs/errors/{reason}", auth.Read, "", Open, "", false},
	{"GET /openapi.yaml", auth.Read, "", Open, "", false},
	{"POST /v1/projects", auth.Write, auth.Projects, Creation, `{"project_id":"{new}"}`, false},
	{"GET /v1/projects", auth.Read, auth.Projects, Anyone, "", false},
	{"GET /v1/projects/{project_id}", auth.Read, "", View, "", false},
	{"POST /v1/projects/{project_id}/sites", auth.Write, auth.Sites, Whole, `{"site_id":"{new}"}`, false},
	{"GET /v1/projects/{project_id}/sites", auth.Read, auth.Sites, Project, "", false},
	{"POST /v1/projects/{project_id}/subjects", auth.Write, auth.Subjects, Site, `{"site_id":"{site}","patient_id":"{new}"}`, false},
	{"GET /v1/projects/{project_id}/subjects", auth.Read, auth.Subjects, Project, "", false},
	{"GET " + subject, auth.Read, "", View1, "", false},
	{"POST " + subject + ":withdraw", auth.Write, auth.Subjects, Subject, `{"withdrawal_time":"2026-06-01T08:00:00Z"}`, true},
	{"POST " + subject + "/consents", auth.Write, auth.Consents, Subject, `{"purpose":"future-research","state":"CONSENT_GIVEN","form_version":"1","consent_time":"2026-05-01T08:00:00Z"}`, false},
	{"GET " + subject + "/consents", auth.Read, auth.Consents, Subject, "", false},
	{"POST " + subject + "/vitals", auth.Write, auth.Vitals, Subject, `{` + vitalsBody + `"measurement_time":"2026-05-01T08:00:00Z"}`, false},
	{"GET " + subject + "/vitals", auth.Read, auth.Vitals, Subject, "", false},
	{"POST " + subject + "/vitals:batch", auth.Write, auth.Vitals, Subject, vitals, false},
	{"PATCH " + subject + "/vitals/{record_id}", auth.Amend, auth.Vitals, Subject, `{"base_version":1,"reason":"read off wrongly","heart_rate":{"beats_per_minute":71}}`, true},
	{"POST " + subject + "/vitals/{record_id}:void", auth.Amend, auth.Vitals, Subject, `{"base_version":1,"reason":"read off wrongly"}`, true},
	{"GET " + subject + "/vitals/{record_id}/versions", auth.Read, auth.Vitals, Subject, "", false},
	{"PUT " + subject + "/images", auth.Write, auth.Images, Subject, "{dicom}", false},
	{"GET " + subject + "/images", auth.Read, auth.Images, Subject, "", false},
	{"GET " + subject + "/images/{image_id}", auth.Read, auth.Images, Subject, "", false},
	{"OPTIONS /v1/uploads", auth.Read, auth.Images, Anyone, "", false},
	{"POST /v1/uploads", auth.Write, auth.Images, Subject, "", false},
	{"HEAD /v1/uploads/{upload_id}", auth.Write, auth.Images, Another, "", false},
	{"PATCH /v1/uploads/{upload_id}", auth.Write, auth.Images, Another, "", false},
	{"DELETE /v1/uploads/{upload_id}", auth.Write, auth.Images, Another, "", false},
	{"POST " + subject + "/reports", auth.Write, auth.Reports, Subject, `{` + reportBody + `"authored_time":"2026-05-01T08:00:00Z"}`, false},
	{"GET " + subject + "/reports", auth.Read, auth.Reports, Subject, "", false},
	{"PATCH " + subject + "/reports/{record_id}", auth.Amend, auth.Reports, Subject, `{"base_version":1,"reason":"read off wrongly","answers":[{"link_id":"1","boolean_value":false}]}`, true},
	{"POST " + subject + "/reports/{record_id}:void", auth.Amend, auth.Reports, Subject, `{"base_version":1,"reason":"read off wrongly"}`, true},
	{"GET " + subject + "/reports/{record_id}/versions", auth.Read, auth.Reports, Subject, "", false},
	{"POST " + subject + "/medications", auth.Write, auth.Medications, Subject, `{` + medication + `}`, false},
	{"GET " + subject + "/medications", auth.Read, auth.Medications, Subject, "", false},
	{"PATCH " + subject + "/medications/{record_id}", auth.Amend, auth.Medications, Subject, `{"base_version":1,"reason":"read off wrongly","dose":{"value":2,"ucum_unit":"mg"}}`, true},
	{"POST " + subject + "/medications/{record_id}:void", auth.Amend, auth.Medications, Subject, `{"base_version":1,"reason":"read off wrongly"}`, true},
	{"GET " + subject + "/medications/{record_id}/versions", auth.Read, auth.Medications, Subject, "", false},
	{"GET " + subject + "/access-log", auth.Read, auth.Audit, Subject, "", false},
	{"GET /v1/projects/{project_id}/audit/{service}", auth.Read, auth.Audit, Project, "", false},
	{"GET /v1/audit/{service}", auth.Read, auth.Audit, Log, "", false},
	{"POST /v1/grants", auth.Write, auth.Grants, Whole, `{` + grantBody + `}`, false},
	{"GET /v1/grants", auth.Read, auth.Grants, Whole, "?project_id={project}", false},
	{"DELETE /v1/grants/{grant_id}", auth.Write, auth.Grants, GrantID, "", true},
	{"POST /v1/accounts/{sub}:disable", auth.Write, auth.Accounts, Setup, `{}`, false},
	{"POST /v1/accounts/{sub}:enable", auth.Write, auth.Accounts, Setup, `{}`, false},

	// Last: what they open is open for the calls after them.
	{"access.AccessService/TakeEmergencyAccess", auth.Write, auth.Emergencies, Project, `{"project_id":"{project}","reason":"brought in unconscious"}`, false},
	{"POST /v1/projects/{project_id}/emergency-access", auth.Write, auth.Emergencies, Project, `{"reason":"brought in unconscious"}`, false},
}
