package main

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestParseReplicas(t *testing.T) {
	counts, err := parseReplicas("vitals-rpc=2,project-api=3")
	if err != nil || counts["vitals-rpc"] != 2 || counts["project-api"] != 3 || len(counts) != 2 {
		t.Errorf("%v, %v", counts, err)
	}
	for text, want := range map[string]string{
		"vitals=2": "is none of", "etcd=3": "is none of", "vitals-rpc": "NAME=N", "vitals-rpc=0": "NAME=N",
		"vitals-rpc=100": "NAME=N", "vitals-rpc=x": "NAME=N", "dicom-rpc=10": "NAME=N",
	} {
		if _, err := parseReplicas(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A further replica differs from the shipped config in its ports alone.
func TestMakePlan(t *testing.T) {
	t.Chdir("../..")
	p, err := makePlan(t.TempDir(), map[string]int{"vitals-rpc": 3, "project-api": 2}, store{})
	if err != nil {
		t.Fatal(err)
	}
	want := []int{2379, 2380, 8443, 8444, 9101, 9102, 9103, 9104, 9111, 9121, 9200, 9201, 9202, 9203, 9204, 9210, 9211, 9221}
	if got := p.ports(); !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	k := p.kindOf("vitals-rpc")
	if r := k.replicas[2]; r.name != "vitals-rpc-3" || r.listen != "127.0.0.1:9121" || r.metrics != 9221 {
		t.Errorf("%+v", r)
	}
	if keys := p.kindOf("subject-rpc").keys; !slices.Equal(keys, []string{"subject.rpc", "medication.rpc"}) {
		t.Errorf("subject-rpc registers under %v", keys)
	}
	text, err := os.ReadFile(k.replicas[1].config)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("etc/vitals-rpc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	back := strings.NewReplacer("9111", "9101", "9211", "9201").Replace(string(text))
	if a, b := decoded(t, back), decoded(t, string(shipped)); a != b {
		t.Errorf("the replica's config is\n%s\nthe shipped one\n%s", a, b)
	}
}

func decoded(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// With PostgreSQL every process that keeps rows runs on a config that says where,
// and none of them holds a password.
func TestMakePlanOnPostgres(t *testing.T) {
	t.Chdir("../..")
	data := t.TempDir()
	u, err := url.Parse("postgres://owner:secret@127.0.0.1:5432/clinsource")
	if err != nil {
		t.Fatal(err)
	}
	p, err := makePlan(data, map[string]int{"vitals-rpc": 2}, store{url: u, data: data})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.kindOf("vitals-rpc").replicas {
		text, err := os.ReadFile(r.config)
		if err != nil || !strings.Contains(string(text), "postgres://clinsource_vitals@127.0.0.1:5432/clinsource") ||
			strings.Contains(string(text), "DataFile") || strings.Contains(string(text), "secret") {
			t.Errorf("%s: %v\n%s", r.name, err, text)
		}
	}
	if r := p.kindOf("project-api").replicas[0]; r.config != "etc/project-api.yaml" {
		t.Errorf("the gateway keeps no rows and runs on %s", r.config)
	}
}
