package mtls

import (
	"strings"
	"testing"
)

func TestPeerListCheck(t *testing.T) {
	services := []string{"vitals.VitalsService", healthService}
	health := []string{"suite"}
	for _, c := range []struct {
		name  string
		list  PeerList
		known []string
		want  []string // parts of the error; none: accepted
	}{
		{"complete", PeerList{services[0]: {"project-api", "partner"}, healthService: health}, nil, nil},
		{"no list at all", nil, nil, []string{"no callers for vitals.VitalsService", "no callers for " + healthService}},
		{"empty list", PeerList{services[0]: {}, healthService: health}, nil, []string{"no callers for vitals.VitalsService"}},
		{"misspelt service", PeerList{"vitals.VitalService": {"project-api"}, healthService: health}, nil,
			[]string{"no callers for vitals.VitalsService", "names vitals.VitalService", "did you mean vitals.VitalsService?"}},
		{"service of another process", PeerList{services[0]: {"project-api"}, healthService: health, "dicom.Unrelated": {"suite"}}, nil,
			[]string{"names dicom.Unrelated", "known are grpc.health.v1.Health, vitals.VitalsService"}},
		{"misspelt peer", PeerList{services[0]: {"project-ap"}, healthService: health}, nil, []string{`vitals.VitalsService names "project-ap"`, "did you mean project-api?"}},
		{"unknown peer", PeerList{services[0]: {"hospital-b"}, healthService: health}, nil, []string{`"hospital-b"`, "known are dicom-rpc, epro-rpc"}},
		{"peer known to the caller", PeerList{services[0]: {"hospital-b"}, healthService: health}, []string{"hospital-b", "suite"}, nil},
		{"only the given names are known", PeerList{services[0]: {"project-api"}, healthService: health}, []string{"suite"}, []string{`"project-api"`}},
		{"empty peer", PeerList{services[0]: {""}, healthService: health}, nil, []string{`names ""`}},
	} {
		err := c.list.Check(services, c.known...)
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: lacks %q: %v", c.name, part, err)
			}
		}
	}
}

func TestPeerListAllow(t *testing.T) {
	list := PeerList{"vitals.VitalsService": {"project-api", ""}, "": {"project-api"}}
	for _, c := range []struct {
		method, peer string
		want         bool
	}{
		{"/vitals.VitalsService/UploadVitals", "project-api", true},
		{"/vitals.VitalsService/AnythingElse", "project-api", true},
		{"/vitals.VitalsService/UploadVitals", "partner", false},
		{"/vitals.VitalsService/UploadVitals", "", false},
		{"/dicom.DicomService/UploadDicom", "project-api", false},
		{"/vitals.VitalsServiceX/UploadVitals", "project-api", false},
		{"vitals.VitalsService/UploadVitals", "project-api", false},
		{"/vitals.VitalsService", "project-api", false},
		{"//UploadVitals", "project-api", false},
		{"", "project-api", false},
	} {
		if got := list.Allow(c.method, c.peer); got != c.want {
			t.Errorf("Allow(%q, %q) = %v", c.method, c.peer, got)
		}
	}
}

func TestPeerNameNeedsAConnection(t *testing.T) {
	if name, ok := PeerName(t.Context()); ok || name != "" {
		t.Errorf("a context without a connection has the peer name %q", name)
	}
}
