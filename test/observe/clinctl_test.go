package observe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clinsource/internal/devcert"
)

// TestStatus: everybody is registered, healthy, of a version, with a certificate.
func TestStatus(t *testing.T) {
	out, code := clinctl(t, "status", "--json")
	var s struct {
		OK        bool
		Processes []struct {
			Process, Key, Address, State, Version string
			Expires                               time.Time `json:"certificate_expires"`
			OK                                    bool
		}
		Budgets map[string]float64 `json:"budgets_seconds"`
		Limits  map[string]float64 `json:"limits_seconds"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || !s.OK {
		t.Fatalf("exit status %d, %v: %s", code, err, out)
	}
	var seen []string
	for _, p := range s.Processes {
		seen = append(seen, p.Process+" "+p.Key)
		if !p.OK || p.Address == "" || p.Version == "" || time.Until(p.Expires) < 24*time.Hour {
			t.Errorf("%+v", p)
		}
	}
	want := []string{"etcd ", "vitals-rpc vitals.rpc", "dicom-rpc dicom.rpc", "epro-rpc epro.rpc",
		"subject-rpc subject.rpc", "subject-rpc medication.rpc", "project-api "}
	if !slices.Equal(seen, want) {
		t.Errorf("seen are %q", seen)
	}
	if s.Budgets["Reports"] != 2 || s.Budgets["Request"] != 15 || s.Limits["vitals-rpc"] != 5 {
		t.Errorf("budgets %v, limits %v", s.Budgets, s.Limits)
	}
	out, code = clinctl(t, "status")
	if code != 0 || strings.Contains(out, "WRONG") || strings.Count(out, "\n") < 10 {
		t.Errorf("exit status %d: %s", code, out)
	}
}

func TestStatusSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ args, want []string }{
		"gateway away":       {[]string{"--url", "https://127.0.0.1:1"}, []string{"project-api", "WRONG", "connection refused"}},
		"etcd away":          {[]string{"--etcd", "127.0.0.1:1"}, []string{"etcd", "WRONG", "connection refused", "does not say who is registered"}},
		"a stranger asks":    {[]string{"--cert", "certs/dev/vitals-rpc.crt", "--key", "certs/dev/vitals-rpc.key"}, []string{"Peers do not let this certificate"}},
		"no such file":       {[]string{"--cert", "none.crt"}, []string{"none.crt"}},
		"argument too many":  {[]string{"now"}, []string{"unexpected argument"}},
		"another's etcd key": {[]string{"--key", "certs/dev/etcd.key"}, []string{"private key does not match"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := clinctl(t, append([]string{"status"}, c.args...)...)
			if code != 1 {
				t.Errorf("exit status %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q: %s", want, out)
				}
			}
		})
	}
}

// findings runs the doctor.
func findings(t *testing.T, args ...string) (code int, byAbout map[string]string, out string) {
	t.Helper()
	out, code = clinctl(t, append([]string{"doctor", "--json", "--bin", root + "/bin"}, args...)...)
	var list []struct{ Level, About, Says, Do string }
	text := out[:strings.LastIndex(out, "]")+1]
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	byAbout = map[string]string{}
	for _, f := range list {
		byAbout[f.About] = f.Level + " " + f.Says
		if f.Level == "fail" && f.Do == "" {
			t.Errorf("no way out of %+v", f)
		}
	}
	return code, byAbout, out
}

// TestDoctor finds nothing wrong with the suite, with no flags but where the
// binaries are.
func TestDoctor(t *testing.T) {
	code, found, out := findings(t)
	if code != 0 {
		t.Errorf("exit status %d: %s", code, out)
	}
	for _, about := range []string{"config vitals-rpc", "config project-api", "authority certs/dev/ca.crt", "certificate certs/dev/dicom-rpc.crt",
		"database vitals-rpc", "database subject-rpc", "disk of dicom-rpc ImageDir", "etcd 127.0.0.1:2379", "clock of project-api", "clock of etcd"} {
		if !strings.HasPrefix(found[about], "ok ") && !strings.HasPrefix(about, "disk") || found[about] == "" {
			t.Errorf("%s: %q", about, found[about])
		}
	}
}

// TestDoctorFinds spoils one thing each, and looks whether it is found.
func TestDoctorFinds(t *testing.T) {
	shipped, err := os.ReadFile(home + "/etc/vitals-rpc.yaml")
	if err != nil {
		t.Fatal(err)
	}
	other, old := t.TempDir(), t.TempDir()
	if _, err := devcert.Ensure(other, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := devcert.Ensure(old, time.Now().AddDate(-2, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(other+"/epro-rpc.key", 0o644); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "vitals.db")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string { return strings.ReplaceAll(string(shipped), old, new) }
	for name, c := range map[string]struct{ config, about, want string }{
		"a misspelt key":          {replace("DataFile:", "DataFiel:"), "config vitals-rpc", "DataFile"},
		"expired":                 {replace("certs/dev/vitals-rpc", old+"/vitals-rpc"), "certificate " + old + "/vitals-rpc.crt", "expired at"},
		"another's authority":     {replace("certs/dev/vitals-rpc", other+"/vitals-rpc"), "certificate " + other + "/vitals-rpc.crt", "unknown authority"},
		"a key that is not its":   {replace("certs/dev/vitals-rpc.key", other+"/vitals-rpc.key"), "certificate certs/dev/vitals-rpc.crt", "private key does not match"},
		"a key for everybody":     {replace("certs/dev", other), "key " + other + "/epro-rpc.key", "others may use it"},
		"a damaged database":      {replace("${CLINSOURCE_DATA}/vitals-rpc/vitals.db", damaged), "database vitals-rpc", "not a database"},
		"a certificate not there": {replace("certs/dev/vitals-rpc.crt", "certs/dev/none.crt"), "certificate certs/dev/none.crt", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			config := c.config
			if strings.Contains(c.about, "epro-rpc.key") {
				config = strings.ReplaceAll(config, other+"/vitals-rpc", other+"/epro-rpc")
			}
			if err := os.WriteFile(etc+"/vitals-rpc.yaml", []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			code, found, out := findings(t, "--etc", etc)
			if code != 1 || !strings.HasPrefix(found[c.about], "fail ") || !strings.Contains(found[c.about], c.want) {
				t.Errorf("exit status %d, %s: %q\n%s", code, c.about, found[c.about], out)
			}
		})
	}
	code, found, _ := findings(t, "--etcd", "127.0.0.1:1", "--url", "https://127.0.0.1:1", "--etc", t.TempDir())
	if code != 1 || !strings.HasPrefix(found["etcd 127.0.0.1:1"], "fail ") || !strings.HasPrefix(found["clock of project-api"], "fail ") || !strings.HasPrefix(found["configs"], "fail ") {
		t.Errorf("exit status %d, %v", code, found)
	}
}
