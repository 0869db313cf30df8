// Package logic holds one file per RPC: check the request, decide who may, look
// at the file by the rules of dicomfile, call the stores, answer. info.go holds
// what an upload must fulfil, this file what a record says.
package logic

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	"clinsource/internal/wirejson"
	dicompb "clinsource/proto/dicom"
	recordpb "clinsource/proto/record"
)

// The rules of this service's own findings; dicomfile.Rules lists those of the
// scan. Stable for ever.
const (
	rulePatientDiffers     = "dicom.patient_differs"
	ruleOnWithdrawalDay    = "dicom.study_on_withdrawal_day"
	ruleSOPInstanceReused  = "dicom.sop_instance_reused"
	tagPatientID           = "(0010,0020)"
	tagStudyDate           = "(0008,0020)"
	tagSOPInstanceUID      = "(0008,0018)"
	messagePatientDiffers  = "PatientID of the header is not the subject that the image was sent for; check that it is this subject's"
	messageOnWithdrawalDay = "the study is of the day on which the subject withdrew; check that it was made before"
	messageInstanceReused  = "the project has another image with this SOP Instance UID; check which one is right"
)

// asked are the scan's findings that somebody at the site should look at: they
// are about whose image it is, or whether it can be seen. The others are about
// how it was written down.
var asked = map[string]bool{
	dicomfile.RuleMetaMismatch: true, dicomfile.RulePreambleUsed: true, dicomfile.RuleTrailingBytes: true,
	dicomfile.RuleDuplicateElement: true, dicomfile.RuleDateInvalid: true, dicomfile.RulePatientIDInvalid: true,
	dicomfile.RulePixelsMissing: true, dicomfile.RulePixelsUnrenderable: true, dicomfile.RulePixelsMismatch: true,
}

// findingsOf gives what is odd about the file and about whose it is.
func findingsOf(info *dicompb.FileInfo, header dicomfile.Header, place subjects.Place) []*recordpb.Finding {
	var out []*recordpb.Finding
	for _, f := range header.Findings {
		out = append(out, scanFinding(f))
	}
	if patient := info.GetPatientId(); patient != "" && header.PatientID != "" && header.PatientID != patient {
		out = append(out, query(rulePatientDiffers, messagePatientDiffers, tagPatientID, "patient_id"))
	}
	if w := place.Withdrawn.UTC(); header.StudyDateOK && !place.Withdrawn.IsZero() && header.StudyDay.Format("20060102") == w.Format("20060102") {
		out = append(out, query(ruleOnWithdrawalDay, messageOnWithdrawalDay, tagStudyDate))
	}
	return out
}

func query(rule, message string, fields ...string) *recordpb.Finding {
	return &recordpb.Finding{RuleId: rule, Severity: recordpb.Severity_QUERY, Fields: fields, Message: message}
}

func scanFinding(f dicomfile.Finding) *recordpb.Finding {
	out := &recordpb.Finding{RuleId: f.Rule, Severity: recordpb.Severity_NOTE, Message: fmt.Sprintf("%s (at byte %d)", f.Message, f.Offset)}
	if f.Count > 1 {
		out.Message = fmt.Sprintf("%s (at byte %d and %d times more)", f.Message, f.Offset, f.Count-1)
	}
	if asked[f.Rule] {
		out.Severity = recordpb.Severity_QUERY
	}
	if f.Tag != "" {
		out.Fields = []string{f.Tag}
	}
	return out
}

// judgeInstance asks about a second image with the same SOP Instance UID.
func judgeInstance(ctx context.Context, tx *sqldb.Tx, r *records.Record, uid string) error {
	known, err := store.HasInstance(ctx, tx, r.Project, uid)
	if err == nil && known {
		r.Findings = append(slices.Clip(r.Findings), query(ruleSOPInstanceReused, messageInstanceReused, tagSOPInstanceUID))
	}
	return err
}

func rememberInstance(ctx context.Context, tx *sqldb.Tx, r *records.Record, uid string) error {
	return store.AddInstance(ctx, tx, r.Project, uid, r.ID)
}

// contentOf is what the record keeps of the file beside its bytes.
func contentOf(info *dicompb.FileInfo, upload *blob.Upload, header dicomfile.Header) []byte {
	return wirejson.Encode(&dicompb.Image{
		Size: uint64(upload.Size()), Sha256: upload.Sum(),
		StudyInstanceUid: header.StudyInstanceUID, SeriesInstanceUid: header.SeriesInstanceUID,
		SopInstanceUid: header.SOPInstanceUID, SopClassUid: header.SOPClassUID, TransferSyntaxUid: header.TransferSyntax,
		Modality: header.Modality, StudyDate: header.StudyDate, FileName: info.GetFileName(),
	})
}

// imageOut gives a stored record in the contract's terms.
func imageOut(r *records.Record) (*dicompb.Image, error) {
	out := &dicompb.Image{}
	if bad := wirejson.Decode(r.Content, out); bad != nil {
		return nil, fmt.Errorf("stored record %s cannot be read: %s", r.ID, bad[0].Rule)
	}
	out.ImageId, out.RecordId, out.Version = r.ID, r.ID, r.Version
	out.ProjectId, out.SiteId, out.PatientId = r.Project, r.Site, r.Patient
	out.ClientRecordId, out.ReceivedTime, out.Findings = r.ClientRecordID, timestamppb.New(r.Received), r.Findings
	return out, nil
}

// answer tells what became of the upload, now or before.
func answer(r *records.Record, created bool) (*dicompb.UploadDicomResponse, error) {
	image, err := imageOut(r)
	if err != nil {
		return nil, err
	}
	return &dicompb.UploadDicomResponse{
		Success: true, Size: image.GetSize(), ImageId: r.ID, RecordId: r.ID, Version: r.Version, Sha256: image.GetSha256(),
		SopInstanceUid: image.GetSopInstanceUid(), Findings: r.Findings, Created: created,
	}, nil
}

// inAnyProject refuses a user who may do this to images nowhere, for calls that
// do not say in which project.
func inAnyProject(ctx context.Context, do auth.Action) error {
	user := auth.UserFrom(ctx)
	projects := user.Projects()
	for _, project := range projects {
		if _, ok := user.May(do, auth.Images, project); ok {
			return nil
		}
	}
	if len(projects) == 0 {
		return fault.Denied(fault.ReasonNoGrant, "the token holds no grant for any project")
	}
	return fault.Denied(fault.ReasonRoleForbids, "no role of the token allows to "+string(do)+" images")
}
