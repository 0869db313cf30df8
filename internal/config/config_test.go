package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/zrpc"
	"gopkg.in/yaml.v3"

	"clinsource/internal/mtls"
)

// server and gateway have the shape of our own configurations.
type server struct {
	zrpc.RpcServerConf
	Tls        mtls.ServerFiles
	Peers      mtls.PeerList
	SubjectRpc client
	Storage    struct {
		Path  string
		Cache time.Duration `json:",default=2s"`
	}
	Limits []limit        `json:",optional"`
	Extra  map[string]any `json:",optional"`
}

type client struct {
	zrpc.RpcClientConf
	Tls    mtls.ClientFiles
	Budget time.Duration `json:",default=1500ms"`
}

type gateway struct {
	rest.RestConf
	VitalsRpc client
}

type limit struct {
	Sign string
	Max  int `json:",default=10,range=[1:100]"`
}

const sample = `Name: vitals.rpc
ListenOn: 127.0.0.1:9101
Mode: dev
Timeout: 3000
CpuThreshold: 0
Health: true
Log:
  Mode: file
  Path: var/logs
  Level: error
Etcd:
  Hosts: [127.0.0.1:2379]
  Key: vitals.rpc
  CertFile: a
  CertKeyFile: b
  CACertFile: c
Middlewares:
  Stat: false
  Breaker: false
  StatConf:
    SlowThreshold: 1s
MethodTimeouts:
- FullMethod: /vitals.VitalsService/ListVitals
  Timeout: 5s
DevServer:
  Host: 127.0.0.1
  Port: 9201
  EnablePprof: false
Shutdown:
  WrapUpTime: 1s
  WaitTime: 30s
Tls:
  CertFile: certs/dev/vitals-rpc.crt
  KeyFile: certs/dev/vitals-rpc.key
  ClientCaFile: certs/dev/ca.crt
Peers:
  vitals.VitalsService: [project-api, partner]
  grpc.health.v1.Health: [suite]
SubjectRpc:
  Etcd:
    Key: subject.rpc
  Timeout: 1000
  Tls:
    ServerName: subject-rpc
    CaFile: certs/dev/ca.crt
    CertFile: certs/dev/vitals-rpc.crt
    KeyFile: certs/dev/vitals-rpc.key
Storage:
  Path: var/vitals.db
Limits:
- Sign: heart_rate
  Max: 50
`

func TestLoadFillsValuesAndDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vitals-rpc.yaml")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	var c server
	if err := Load(path, &c); err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"Name", c.Name, "vitals.rpc"},
		{"embedded Timeout", c.Timeout, int64(3000)},
		{"Tls", c.Tls, mtls.ServerFiles{CertFile: "certs/dev/vitals-rpc.crt", KeyFile: "certs/dev/vitals-rpc.key", ClientCaFile: "certs/dev/ca.crt"}},
		{"free keys keep their case", c.Peers, mtls.PeerList{"vitals.VitalsService": {"project-api", "partner"}, "grpc.health.v1.Health": {"suite"}}},
		{"nested", c.SubjectRpc.Timeout, int64(1000)},
		{"inherited", c.SubjectRpc.Etcd.Hosts, []string{"127.0.0.1:2379"}},
		{"list", c.Limits, []limit{{"heart_rate", 50}}},
		{"method timeout", c.MethodTimeouts[0].Timeout, 5 * time.Second},
		{"default", c.Storage.Cache, 2 * time.Second},
		{"default of go-zero", c.SubjectRpc.BalancerName, "p2c_ewma"},
		{"default of ours", c.SubjectRpc.Budget, 1500 * time.Millisecond},
		{"default in a block left out", c.SubjectRpc.Middlewares.Trace, true},
		{"false is not a default", c.Middlewares.Stat, false},
	} {
		if fmt.Sprint(check.got) != fmt.Sprint(check.want) {
			t.Errorf("%s: %v, want %v", check.what, check.got, check.want)
		}
	}
}

// Every key of the sample, misspelt in every way of dropping a letter or
// swapping two neighbours, is refused at its line with the right suggestion.
func TestEveryMisspeltKeyIsRefused(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(sample), &document); err != nil {
		t.Fatal(err)
	}
	mutants := 0
	eachKey(document.Content[0], func(key *yaml.Node) {
		for _, misspelt := range misspellings(key.Value) {
			mutants++
			err := LoadBytes("f.yaml", replaceAt(sample, key, misspelt), &server{})
			want := fmt.Sprintf("f.yaml:%d: unknown key ", key.Line)
			if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
				return strings.HasPrefix(line, want) && strings.HasSuffix(line, misspelt+"; did you mean "+key.Value+"?")
			}) {
				t.Errorf("line %d, %s as %s: %v", key.Line, key.Value, misspelt, err)
			}
		}
	})
	if mutants < 400 {
		t.Errorf("only %d misspellings tried", mutants)
	}
}

// eachKey visits all keys but those that are the user's own.
func eachKey(n *yaml.Node, visit func(*yaml.Node)) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			visit(child)
		} else if n.Kind != yaml.MappingNode || n.Content[i-1].Value != "Peers" {
			eachKey(child, visit)
		}
	}
}

func misspellings(word string) []string {
	var list []string
	for i := range word {
		list = append(list, word[:i]+word[i+1:])
		if i+1 < len(word) && !strings.EqualFold(word[i:i+1], word[i+1:i+2]) {
			list = append(list, word[:i]+word[i+1:i+2]+word[i:i+1]+word[i+2:])
		}
	}
	return list
}

func replaceAt(text string, at *yaml.Node, with string) []byte {
	lines := strings.Split(text, "\n")
	line := lines[at.Line-1]
	lines[at.Line-1] = line[:at.Column-1] + with + line[at.Column-1+len(at.Value):]
	return []byte(strings.Join(lines, "\n"))
}

// Every required key, left out, is named.
func TestMissingKeys(t *testing.T) {
	for cut, want := range map[string]string{
		"Name: vitals.rpc\n":                 "f.yaml: missing required key Name",
		"ListenOn: 127.0.0.1:9101\n":         "f.yaml: missing required key ListenOn",
		"  Path: var/vitals.db\n":            "f.yaml:48: missing required key Storage.Path",
		"Sign: heart_rate\n  ":               "f.yaml:51: missing required key Limits[0].Sign",
		"    ServerName: subject-rpc\n":      "f.yaml:44: missing required key SubjectRpc.Tls.ServerName",
		"  ClientCaFile: certs/dev/ca.crt\n": "f.yaml:33: missing required key Tls.ClientCaFile",
	} {
		err := LoadBytes("f.yaml", []byte(strings.Replace(sample, cut, "", 1)), &server{})
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("without %q: %v; want %q", cut, err, want)
		}
	}
	err := LoadBytes("f.yaml", nil, &server{})
	for _, key := range []string{"Name", "ListenOn", "Tls.CertFile", "Tls.KeyFile", "Tls.ClientCaFile", "Peers", "SubjectRpc.Tls.CaFile", "Storage.Path"} {
		if err == nil || !strings.Contains(err.Error(), "missing required key "+key+"\n") {
			t.Errorf("an empty file: %s is not named: %v", key, err)
		}
	}
}

// What else is wrong with a file has its place and its way out.
func TestOtherMistakes(t *testing.T) {
	end := strings.Count(sample, "\n") + 1
	at := fmt.Sprintf("f.yaml:%d: ", end)
	for _, c := range []struct{ add, want string }{
		{"Timeout: 1", at + "key Timeout is given twice, first in line 4"},
		{"timeout: 1", at + "key timeout is given twice, first in line 4"},
		{"ClientCaFile: x", at + "unknown key ClientCaFile; did you mean ClientCaFile inside Tls?"},
		{"Quux: x", at + "unknown key Quux; known here are Auth, CpuThreshold, DevServer,"},
		{"RpcServerConf: {Timeout: 1}", at + "unknown key RpcServerConf: its keys stand one level up"},
		{"ServiceConf: {Mode: dev}", at + "unknown key ServiceConf: its keys stand one level up"},
		{"Redis: {Host: h, Key: k, Tpye: node}", at + "unknown key Redis.Tpye; did you mean Type?"},
		{"Telemetry: {OtlpHeaders: {any-key: x}, Samler: 1}", at + "unknown key Telemetry.Samler; did you mean Sampler?"},
		{"StrictControl: maybe", at + "StrictControl: type mismatch"},
		{"MetricsUrl: 5", at + `MetricsUrl: type mismatch`},
		{"MetricsUrl: [a]", at + "MetricsUrl is a list, and has to be a single value"},
		{"Telemetry: on", at + "Telemetry is a single value, and has to be a block"},
		{"Telemetry: {Batcher: carrier-pigeon}", at + `Telemetry.Batcher: value "carrier-pigeon" is not defined in options`},
		{"---\nName: second", "f.yaml: more than one YAML document"},
		{"\tName: x", "f.yaml: not YAML"},
		{"Extra: &x {Tls: *x}", "f.yaml: not YAML: yaml: anchor 'x' value contains itself"},
	} {
		err := LoadBytes("f.yaml", []byte(sample+c.add+"\n"), &server{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.add, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "TLS") && c.add[:1] != "C" {
			t.Errorf("%s: TLS is right here and should not be mentioned: %v", c.add, err)
		}
	}
	for _, c := range []struct{ was, is, want string }{
		{"CpuThreshold: 0", "CpuThreshold: 5000", "f.yaml:5: CpuThreshold: wrong number range setting, range=[0:1000)"},
		{"  Max: 50", "  Max: 500", "f.yaml:52: Limits[0].Max: wrong number range setting, range=[1:100]"},
		{"WaitTime: 30s", "WaitTime: 30 parsecs", "f.yaml:31: Shutdown.WaitTime: time: unknown unit"},
		{"Timeout: 3000", "Timeout: 3s", "f.yaml:4: Timeout: type mismatch"},
		{"  Hosts: [127.0.0.1:2379]\n", "", "f.yaml:12: missing required key Etcd.Hosts"},
	} {
		err := LoadBytes("f.yaml", []byte(strings.Replace(sample, c.was, c.is, 1)), &server{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.is, err, c.want)
		}
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	text := strings.NewReplacer("Timeout: 3000", "Timeuot: 3000", "Max: 50", "Maxx: 50", "Mode: file", "Moed: file").Replace(sample)
	want := `f.yaml:4: unknown key Timeuot; did you mean Timeout?
f.yaml:8: unknown key Log.Moed; did you mean Mode?
f.yaml:52: unknown key Limits[0].Maxx; did you mean Max?`
	if err := LoadBytes("f.yaml", []byte(text), &server{}); err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

func TestForms(t *testing.T) {
	for name, change := range map[string]*strings.Replacer{
		"any case, as go-zero":       strings.NewReplacer("ListenOn:", "listenon:", "KeyFile:", "keyFile:", "Hosts:", "HOSTS:"),
		"anchors and merge keys":     strings.NewReplacer("  Tls:\n    ServerName", "  Tls:\n    <<: {CaFile: x, CertFile: y}\n    ServerName"),
		"empty optional block":       strings.NewReplacer("MethodTimeouts:\n- FullMethod: /vitals.VitalsService/ListVitals\n  Timeout: 5s\n", "Telemetry:\n"),
		"a date that is text":        strings.NewReplacer("Mode: dev", "MetricsUrl: 2026-01-31"),
		"a number as the user's key": strings.NewReplacer("grpc.health.v1.Health:", "404:"),
		"anything where any is":      strings.NewReplacer("Storage:", "Extra: {a: [1, {b: c}]}\nStorage:"),
	} {
		if err := LoadBytes("f.yaml", []byte(change.Replace(sample)), &server{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMergedKeysAreChecked(t *testing.T) {
	text := strings.Replace(sample, "  Tls:\n    ServerName", "  Tls:\n    <<: {CaFlie: x}\n    ServerName", 1)
	if err := LoadBytes("f.yaml", []byte(text), &server{}); err == nil || !strings.Contains(err.Error(), "unknown key SubjectRpc.Tls.CaFlie; did you mean CaFile?") {
		t.Error(err)
	}
	var c server
	text = strings.Replace(sample, "    CaFile: certs/dev/ca.crt\n", "    <<: {CaFile: merged, CertFile: overridden}\n", 1)
	if err := LoadBytes("f.yaml", []byte(text), &c); err != nil || c.SubjectRpc.Tls.CaFile != "merged" || c.SubjectRpc.Tls.CertFile != "certs/dev/vitals-rpc.crt" {
		t.Errorf("%+v, %v", c.SubjectRpc.Tls, err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("CONFIG_TEST_TIMEOUT", "4000")
	t.Setenv("CONFIG_TEST_TEXT", "a: b # c\nName: injected")
	text := strings.NewReplacer(
		"Timeout: 3000", "Timeout: ${CONFIG_TEST_TIMEOUT} # ${NOT_SET} in a comment",
		"Mode: dev", `MetricsUrl: ${CONFIG_TEST_TEXT}`,
		"Path: var/vitals.db", `Path: "${CONFIG_TEST_TIMEOUT}-$HOME-$"`,
	).Replace(sample)
	var c server
	if err := LoadBytes("f.yaml", []byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.Timeout != 4000 || c.MetricsUrl != "a: b # c\nName: injected" || c.Name != "vitals.rpc" || c.Storage.Path != "4000-$HOME-$" {
		t.Errorf("%d, %q, %q, %q", c.Timeout, c.MetricsUrl, c.Name, c.Storage.Path)
	}

	err := LoadBytes("f.yaml", []byte(strings.Replace(sample, "Mode: dev", "Mode: ${CONFIG_TEST_NOT_SET}", 1)), &server{})
	if want := "f.yaml:3: the environment variable CONFIG_TEST_NOT_SET is not set"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	t.Setenv("CONFIG_TEST_SECRET", "hunter2")
	err = LoadBytes("f.yaml", []byte(strings.Replace(sample, "Mode: dev", "Mode: ${CONFIG_TEST_SECRET}", 1)), &server{})
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "f.yaml:3: Mode: ") || !strings.Contains(err.Error(), "${CONFIG_TEST_SECRET}") {
		t.Errorf("an error about a value from the environment: %v", err)
	}
}

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{"s3cret\n": "s3cret", "two words \r\n": "two words ", "\n": "", "": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSecret(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if _, err := ReadSecret(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestMissingFileAndWrongTarget(t *testing.T) {
	err := Load("etc/nowhere.yaml", &server{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "etc/nowhere.yaml") || !strings.Contains(err.Error(), "-f") {
		t.Error(err)
	}
	for _, target := range []any{nil, server{}, new(int)} {
		if err := LoadBytes("f.yaml", []byte(sample), target); err == nil || !strings.Contains(err.Error(), "pointer to a struct") {
			t.Errorf("%T: %v", target, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args  string
		path  string
		check bool
		err   string
	}{
		{"-f etc/x.yaml", "etc/x.yaml", false, ""},
		{"-t -f etc/x.yaml", "etc/x.yaml", true, ""},
		{"-f etc/x.yaml -t", "etc/x.yaml", true, ""},
		{"-health -f etc/x.yaml", "etc/x.yaml", false, ""},
		{"", "", false, "no configuration file is named; usage: -f"},
		{"-t", "", false, "no configuration file is named"},
		{"-f", "", false, "flag needs an argument"},
		{"-f a.yaml b.yaml", "", false, `unexpected argument "b.yaml"`},
		{"-x", "", false, "-x; usage: -f"},
	} {
		path, check, err := Flags(strings.Fields(c.args))
		if path != c.path || check != c.check || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: %q, %v, %v", c.args, path, check, err)
		}
	}
	if _, _, err := Flags([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

func TestHealthAsked(t *testing.T) {
	for args, want := range map[string]bool{"-health -f x.yaml": true, "-f x.yaml --health": true, "-f x.yaml": false, "-f health -t": false} {
		if got := HealthAsked(strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}
