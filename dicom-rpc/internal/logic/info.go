package logic

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/chunks"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	dicompb "clinsource/proto/dicom"
)

// The rules of this service's own refusals; dicomfile.Reasons lists those of the
// scan. Stable for ever.
const (
	ruleInfoMissing   = "dicom.info_missing"
	ruleInfoRepeated  = "dicom.info_repeated"
	ruleMessageEmpty  = "dicom.message_empty"
	ruleChunkTooLarge = "dicom.chunk_too_large"
	ruleFileType      = "dicom.file_type"
	ruleFileName      = "dicom.file_name"
	ruleOffset        = "dicom.offset"
	ruleTooLarge      = "dicom.too_large"
	ruleSizeDiffers   = "dicom.size_differs"
	ruleSumMalformed  = "dicom.sha256_malformed"
	ruleSumDiffers    = "dicom.sha256_differs"
	rulePatient       = "dicom.patient_missing"
	ruleSizeMissing   = "dicom.size_missing"
	ruleSumMissing    = "dicom.sha256_missing"
	ruleUploadDiffers = "dicom.upload_differs"
)

const (
	maxFileName = 255 // Bytes.
	tooLarge    = "an image has at most 16 GiB"
)

// refused says which rule the upload breaks.
func refused(field, rule, message string) error {
	return fault.Invalid(fault.ReasonImageRefused, field+": "+message, fault.Violation{Field: field, Rule: rule, Message: message})
}

// infoOf takes the first message, which says what the file is, and checks it.
func infoOf(messages *chunks.Reader) (*dicompb.FileInfo, error) {
	msg, err := messages.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	info := msg.GetInfo()
	if info == nil {
		return nil, refused("info", ruleInfoMissing, "the first message must be info, before any chunk; it may be empty")
	}
	var check ident.Checker
	check.Optional("upload_id", info.GetUploadId())
	check.Optional("patient_id", info.GetPatientId())
	check.Optional("project_id", info.GetProjectId())
	check.Optional("client_record_id", info.GetClientRecordId())
	check = append(check, fileViolations(info)...)
	info.FileName = baseName(info.GetFileName())
	return info, check.Err()
}

func fileViolations(info *dicompb.FileInfo) (found []fault.Violation) {
	add := func(wrong bool, field, rule, message string) {
		if wrong {
			found = append(found, fault.Violation{Field: field, Rule: rule, Message: message})
		}
	}
	sum, err := hex.DecodeString(info.GetSha256())
	name := baseName(info.GetFileName())
	add(info.GetFileType() != "" && !strings.EqualFold(info.GetFileType(), "dcm"), "file_type", ruleFileType, `must be "dcm" or empty`)
	add(len(name) > maxFileName, "file_name", ruleFileName, "must have at most 255 bytes")
	add(strings.ContainsFunc(name, unicode.IsControl), "file_name", ruleFileName, "must not hold control characters")
	add(info.GetOffset() != 0 && info.GetUploadId() == "", "offset", ruleOffset, "must be 0 without upload_id: the first chunk is the file's start")
	add(info.GetSize() > maxImage, "size", ruleTooLarge, tooLarge)
	add(info.GetSha256() != "" && (err != nil || len(sum) != 32), "sha256", ruleSumMalformed, "must be 64 hexadecimal digits")
	return found
}

// baseName takes off the folders, of any system, that a caller left on a name.
func baseName(name string) string {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	if base == "." || base == ".." || base == "/" {
		return ""
	}
	return base
}

// chunkOf gives the bytes of a message after the first.
func chunkOf(msg *dicompb.UploadDicomRequest) ([]byte, error) {
	switch data := msg.GetData().(type) {
	case *dicompb.UploadDicomRequest_Chunk:
		if len(data.Chunk) > maxChunk {
			return nil, refused("chunk", ruleChunkTooLarge,
				fmt.Sprintf("has %d bytes; send at most 1 MiB (1048576), best 256 KiB", len(data.Chunk)))
		}
		return data.Chunk, nil
	case *dicompb.UploadDicomRequest_Info:
		return nil, refused("info", ruleInfoRepeated, "may only be the first message; open a stream for each file")
	default:
		return nil, refused("chunk", ruleMessageEmpty, "a message after the first must be a chunk")
	}
}

// patientOf decides whose image it is: the caller's word, else the header's.
func patientOf(info *dicompb.FileInfo, header dicomfile.Header) (string, error) {
	if info.GetPatientId() != "" {
		return info.GetPatientId(), nil
	}
	id := strings.TrimSpace(header.PatientID)
	switch {
	case id == "":
		return "", refused("patient_id", rulePatient, "the header has no PatientID (0010,0020) that can be read; send patient_id")
	case !ident.Valid(id): // No subject can have it.
		return "", fault.NotFound(fault.ReasonSubjectNotFound,
			"there is no such subject: the header's PatientID (0010,0020) is not the code of one; send patient_id")
	}
	return id, nil
}

// scanFault gives a scan's error in the contract's terms.
func scanFault(err error) error {
	var r *dicomfile.Refusal
	if !errors.As(err, &r) {
		return err
	}
	field := r.Tag
	if field == "" {
		field = "file"
	}
	return refused(field, r.Reason, fmt.Sprintf("%s (at byte %d)", r.Message, r.Offset))
}

// uploadFault gives an error of the image files, or of what uploads may take, in
// the contract's terms.
func uploadFault(err error) error {
	switch {
	case errors.Is(err, blob.ErrBusy):
		return fault.Exhausted(fault.ReasonOverloaded, "too many uploads are under way; back off and send again", time.Second).Because(err)
	case errors.Is(err, store.ErrManyOpen):
		return fault.Exhausted(fault.ReasonOverloaded, "too many uploads are open; finish or abort some, or wait until others are", time.Minute).Because(err)
	case errors.Is(err, store.ErrQuota):
		return fault.Exhausted(fault.ReasonQuotaExceeded, "the project's quota has no room for it; nothing was stored", time.Minute).Because(err)
	case blob.IsFull(err):
		return fault.Exhausted(fault.ReasonStorageFull, "the storage is full; nothing was stored", time.Minute).Because(err)
	case errors.Is(err, store.ErrNoUpload):
		return fault.NotFound(fault.ReasonUploadNotFound, "there is no such upload of this caller, or it has expired")
	case errors.Is(err, store.ErrOffset):
		return fault.Aborted(fault.ReasonUploadOffset, "offset is not the committed one; ask GetUpload for it and go on from there")
	case errors.Is(err, store.ErrTakenOver):
		return fault.Aborted(fault.ReasonUploadOffset, "a newer stream took the upload over, or it has ended; ask GetUpload")
	case errors.Is(err, blob.ErrHeld):
		return fault.Unavailable(fault.ReasonUnavailable, "an older stream of this upload has not ended yet; ask GetUpload and go on from its offset", time.Second).Because(err)
	case errors.Is(err, blob.ErrMissing):
		return fault.DataLoss(fault.ReasonCorrupt, "the bytes that were received before are gone; begin another upload").Because(err)
	}
	return records.Fault(err)
}
