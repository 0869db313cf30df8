package handler

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// The keys of Upload-Metadata that mean something here. Standard clients send
// keys of their own beside them (name, type, relativePath): others are ignored.
const (
	metaFileName       = "filename"
	metaFileType       = "filetype"
	metaSha256         = "sha256"
	metaPatient        = "patient_id"
	metaProject        = "project_id"
	metaClientRecordID = "client_record_id"
	metaResume         = "resume"
)

// askedFor reads what a creation says of the file, but for its size. It is
// stricter than tusd, which drops what it cannot read: a digest or a patient
// that got lost on the way would be missed too late.
func askedFor(headers []string) (*dicompb.CreateUploadRequest, error) {
	meta, err := metadata(strings.Join(headers, ","))
	if err != nil {
		return nil, err
	}
	asked := &dicompb.CreateUploadRequest{
		FileName: meta[metaFileName], FileType: fileType(meta[metaFileType]), Sha256: strings.ToLower(meta[metaSha256]),
		PatientId: meta[metaPatient], ProjectId: meta[metaProject], ClientRecordId: meta[metaClientRecordID],
		Resume: meta[metaResume] == "true",
	}
	if sum, err := hex.DecodeString(asked.GetSha256()); err != nil || len(sum) != 0 && len(sum) != 32 {
		return nil, malformed(metaSha256, "digest.malformed", "must be the SHA-256 of the whole file as 64 hexadecimal digits")
	}
	if resume, given := meta[metaResume]; given && resume != "true" && resume != "false" {
		return nil, malformed(metaResume, "metadata.resume", `must be "true" or "false"`)
	}
	if asked.GetResume() && asked.GetSha256() == "" {
		return nil, malformed(metaSha256, "metadata.resume", "is needed with resume: by it the upload is found")
	}
	return asked, nil
}

// metadata reads the pairs of the header: a key, a space, the value in base64.
func metadata(header string) (map[string]string, error) {
	meta := map[string]string{}
	for _, pair := range strings.Split(header, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		key, encoded, _ := strings.Cut(pair, " ")
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		switch {
		case err != nil || !utf8.Valid(value):
			return nil, malformed(key, "metadata.malformed", "must be UTF-8 text in base64")
		case has(meta, key):
			return nil, malformed(key, "metadata.repeated", "is given more than once")
		}
		meta[key] = string(value)
	}
	return meta, nil
}

func has(meta map[string]string, key string) bool { _, ok := meta[key]; return ok }

// maxKeyShown bounds what a refusal repeats of a key.
const maxKeyShown = 64

func malformed(key, rule, message string) error {
	field := "Upload-Metadata " + key[:min(len(key), maxKeyShown)]
	return fault.InvalidFields([]fault.Violation{{Field: field, Rule: rule, Message: message}})
}

// fileType gives the contract's word for what standard clients say: a media type,
// which for DICOM files they often do not know.
func fileType(said string) string {
	switch strings.ToLower(said) {
	case "application/dicom", "application/octet-stream", "":
		return "dcm"
	}
	return said
}
