package logic

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/wirejson"
	dicompb "clinsource/proto/dicom"
)

// uploadOut gives an upload's row in the contract's terms.
func uploadOut(row *store.Upload) (*dicompb.Upload, error) {
	out := &dicompb.Upload{
		UploadId: row.ID, State: row.State, Offset: uint64(row.Committed), Size: uint64(row.Size),
		Sha256: row.SHA256, PatientId: row.Patient, ProjectId: row.Project, FileName: row.FileName,
	}
	var err error
	switch row.State {
	case dicompb.UploadState_OPEN:
		out.ExpiresTime = timestamppb.New(row.Expires)
	case dicompb.UploadState_COMPLETE:
		out.Image, err = answerOf(row)
	case dicompb.UploadState_REFUSED:
		out.Refusal = fault.From(refusalOf(row)).Message
	}
	return out, err
}

// completeAnswer is what a stream that ends the file answers, and the form in
// which the upload's row keeps it, so that whoever asks again hears the same.
func completeAnswer(row *store.Upload, r *records.Record, created bool) (*dicompb.UploadDicomResponse, string, error) {
	resp, err := answer(r, created)
	if err != nil {
		return nil, "", err
	}
	resp.UploadId, resp.Offset = row.ID, uint64(row.Size)
	return resp, string(wirejson.Encode(resp)), nil
}

func answerOf(row *store.Upload) (*dicompb.UploadDicomResponse, error) {
	resp := &dicompb.UploadDicomResponse{}
	if bad := wirejson.Decode([]byte(row.Answer), resp); bad != nil {
		return nil, fmt.Errorf("the answer of upload %s cannot be read: %s", row.ID, bad[0].Rule)
	}
	return resp, nil
}

// refusal is a fault as an upload's row keeps it.
type refusal struct {
	Code       codes.Code        `json:"code"`
	Reason     string            `json:"reason"`
	Message    string            `json:"message"`
	Violations []fault.Violation `json:"violations"`
}

func encodeRefusal(err error) string {
	f := fault.From(err)
	text, failed := json.Marshal(refusal{f.Code, f.Reason, f.Message, f.Violations})
	if failed != nil {
		panic(failed) // Texts and a number can be written.
	}
	return string(text)
}

func refusalOf(row *store.Upload) error {
	var r refusal
	if err := json.Unmarshal([]byte(row.Refusal), &r); err != nil {
		return fmt.Errorf("the refusal of upload %s cannot be read: %w", row.ID, err)
	}
	return &fault.Error{Code: r.Code, Reason: r.Reason, Message: r.Message, Violations: r.Violations}
}
