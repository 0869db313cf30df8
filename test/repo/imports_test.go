package repo_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// domains are the packages of pure rules, one per service.
var domains = []string{"vitals-rpc/vitalsign", "dicom-rpc/dicomfile", "epro-rpc/report", "subject-rpc/intake"}

// clients are the packages through which one service calls another.
var clients = []string{
	"vitals-rpc/vitalsservice", "dicom-rpc/dicomservice", "epro-rpc/eproservice",
	"subject-rpc/subjectservice", "subject-rpc/subjectresolver", "subject-rpc/accessservice", "subject-rpc/accountresolver", "subject-rpc/medicationservice",
}

// schemas are the packages by which the operator's tools know a service's
// database.
var schemas = []string{"vitals-rpc/vitalsschema", "dicom-rpc/dicomschema", "epro-rpc/eproschema", "subject-rpc/subjectschema"}

// importRule says which imports a package may not have.
type importRule struct {
	name   string
	binds  func(importer string) bool
	bans   func(importer, imported string) bool
	deep   bool // Also through other packages of this module.
	tests  bool // Also in tests.
	reason string
}

var importRules = []importRule{
	{
		name:  "internal/* imports no service",
		binds: func(p string) bool { return under(p, "internal") },
		bans:  func(_, imported string) bool { return service(imported) != "" },
		tests: true,
		reason: "internal/ is what the services share; importing one turns the dependency round. " +
			"Ask for an interface declared beside the code that uses it, and let the service pass the implementation",
	},
	{
		name:   "proto/* imports only proto/*",
		binds:  func(p string) bool { return under(p, "proto") },
		bans:   func(_, imported string) bool { return ours(imported) && !under(imported, "proto") },
		reason: "a partner generates clients from the contracts alone",
	},
	{
		name:  "a domain package is pure",
		binds: func(p string) bool { return slices.Contains(domains, p) },
		bans: func(_, imported string) bool {
			return under(imported, "google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto",
				"github.com/zeromicro/go-zero", "database/sql", "proto", "internal/sqldb", "internal/records", "internal/fault")
		},
		deep:   true,
		reason: "the rules must be readable and testable without a framework. Take plain Go values; internal/logic translates messages, rows and errors",
	},
	{
		name:  "a service imports another only through its client package",
		binds: func(p string) bool { return service(p) != "" && service(p) != "cmd" },
		bans: func(importer, imported string) bool {
			other := service(imported)
			return other != "" && other != service(importer) && !slices.Contains(clients, imported)
		},
		tests:  true,
		reason: "services are separate processes: what one knows of another is its contract. Import its client package (vitalsservice, dicomservice, eproservice, subjectservice, subjectresolver, medicationservice)",
	},
	{
		name:  "cmd imports of a service only its client, its rules or its schema",
		binds: func(p string) bool { return under(p, "cmd") },
		bans: func(_, imported string) bool {
			return service(imported) != "" && !under(imported, "cmd") && !slices.Contains(clients, imported) && !slices.Contains(domains, imported) && !slices.Contains(schemas, imported)
		},
		tests:  true,
		reason: "the launcher starts services as processes and clinctl is a client: neither links a service. What migrates or moves a database knows its schema",
	},
	{
		name:  "project-api knows no SQL",
		binds: func(p string) bool { return under(p, "project-api") },
		bans: func(_, imported string) bool {
			return under(imported, "database/sql", "internal/sqldb", "internal/records", "github.com/pressly/goose/v3", "modernc.org/sqlite", "github.com/jackc/pgx/v5")
		},
		deep:   true,
		reason: "the gateway owns no data, it composes. Ask the service that owns it, through its client package",
	},
}

func TestImports(t *testing.T) {
	all := packages(t)
	for _, rule := range importRules {
		t.Run(strings.ReplaceAll(rule.name, "/", "∕"), func(t *testing.T) {
			for _, breach := range rule.breaches(all) {
				t.Errorf("%s\n\twhy: %s", breach, rule.reason)
			}
		})
	}
}

// Every domain and client package that a rule names is there: a renamed one
// would slip out from under its rule.
func TestImportRulesNamePackagesThatExist(t *testing.T) {
	var there []string
	for _, p := range packages(t) {
		there = append(there, p.ImportPath)
	}
	for _, name := range slices.Concat(domains, clients, schemas) {
		if !slices.Contains(there, name) {
			t.Errorf("no package %s: correct the list in imports_test.go", name)
		}
	}
}

// breaches lists each import that the rule forbids, with the way to it.
func (r importRule) breaches(all []pkg) []string {
	graph := map[string][]string{}
	for _, p := range all {
		graph[p.ImportPath] = p.Imports
	}
	var found []string
	for _, p := range all {
		if !r.binds(p.ImportPath) {
			continue
		}
		reached := map[string]string{}
		r.follow(graph, p.ImportPath, p.ImportPath, p.Imports, reached)
		if r.tests {
			r.follow(graph, p.ImportPath, p.ImportPath+" (test)", p.TestImports, reached)
		}
		for _, imported := range slices.Sorted(maps.Keys(reached)) {
			if r.bans(p.ImportPath, imported) {
				found = append(found, fmt.Sprintf("%s imports %s", reached[imported], imported))
			}
		}
	}
	return found
}

// follow notes for each package reached the chain of packages that leads there.
func (r importRule) follow(graph map[string][]string, importer, chain string, imports []string, reached map[string]string) {
	for _, imported := range imports {
		if _, seen := reached[imported]; seen || imported == importer {
			continue
		}
		reached[imported] = chain
		if r.deep && ours(imported) {
			r.follow(graph, importer, chain+" > "+imported, graph[imported], reached)
		}
	}
}

// under reports whether a package is one of the folders or inside one.
func under(p string, folders ...string) bool {
	for _, folder := range folders {
		if p == folder || strings.HasPrefix(p, folder+"/") {
			return true
		}
	}
	return false
}

// service names the service (or gateway, or command) that a package belongs
// to; "" for shared packages and those of other modules.
func service(p string) string {
	top, _, _ := strings.Cut(p, "/")
	if top == "project-api" || top == "cmd" || strings.HasSuffix(top, "-rpc") {
		return top
	}
	return ""
}

// ours reports whether an import path, stripped of the module's name, is of
// this module.
func ours(p string) bool {
	return service(p) != "" || under(p, "internal", "proto", "test")
}

// builders: zRPC servers and clients are built in one place each.
var builders = []struct {
	names   []string
	only    string
	instead string
}{
	{[]string{"NewServer", "MustNewServer"}, "internal/rpcserver",
		"build it with rpcserver.New: TLS, peer lists, error mapping, request ids and metrics are on there, and go-zero's body-printing interceptors off"},
	{[]string{"NewClient", "MustNewClient", "NewClientWithTarget"}, "internal/rpcclient",
		"build it with rpcclient.New: TLS, discovery, deadlines, bulkheads and retries are on there"},
}

func TestZrpcIsBuiltInOnePlace(t *testing.T) {
	for _, s := range goSources(t) {
		for _, breach := range builtElsewhere(s) {
			t.Error(breach)
		}
	}
}

func builtElsewhere(s source) []string {
	var found []string
	for _, b := range builders {
		if path.Dir(s.name) == b.only {
			continue
		}
		for _, use := range s.uses("github.com/zeromicro/go-zero/zrpc", named(b.names...)) {
			found = append(found, fmt.Sprintf("%s: zrpc.%s outside %s: %s", s.at(use), use.Sel.Name, b.only, b.instead))
		}
	}
	return found
}

// The rules on a tree that breaks each of them.
func TestImportRulesSeeBreaches(t *testing.T) {
	for _, c := range []struct {
		breach string
		tree   []pkg
	}{
		{"internal/x imports vitals-rpc/vitalsservice", []pkg{{ImportPath: "internal/x", Imports: []string{"fmt", "vitals-rpc/vitalsservice"}}}},
		{"internal/x (test) imports cmd/suite", []pkg{{ImportPath: "internal/x", TestImports: []string{"cmd/suite"}}}},
		{"proto/vitals imports internal/fault", []pkg{{ImportPath: "proto/vitals", Imports: []string{"proto/record", "internal/fault"}}}},
		{"vitals-rpc/vitalsign imports google.golang.org/grpc/codes", []pkg{{ImportPath: "vitals-rpc/vitalsign", Imports: []string{"google.golang.org/grpc/codes"}}}},
		{"dicom-rpc/dicomfile > internal/y imports database/sql", []pkg{
			{ImportPath: "dicom-rpc/dicomfile", Imports: []string{"internal/y"}}, {ImportPath: "internal/y", Imports: []string{"database/sql"}}}},
		{"epro-rpc/internal/logic imports vitals-rpc/vitalsign", []pkg{{ImportPath: "epro-rpc/internal/logic", Imports: []string{"epro-rpc/report", "vitals-rpc/vitalsign"}}}},
		{"cmd/clinctl imports dicom-rpc/internal/store", []pkg{{ImportPath: "cmd/clinctl", Imports: []string{"dicom-rpc/dicomfile", "dicom-rpc/internal/store"}}}},
		{"project-api/internal/svc > internal/z imports internal/sqldb", []pkg{
			{ImportPath: "project-api/internal/svc", Imports: []string{"vitals-rpc/vitalsservice", "internal/z"}}, {ImportPath: "internal/z", Imports: []string{"internal/sqldb"}}}},
		{"", []pkg{
			{ImportPath: "epro-rpc/internal/svc", Imports: []string{"subject-rpc/subjectresolver", "internal/sqldb", "github.com/zeromicro/go-zero/zrpc"}},
			{ImportPath: "internal/records", Imports: []string{"internal/sqldb", "database/sql"}},
			{ImportPath: "project-api", Imports: []string{"project-api/internal/svc", "proto/vitals"}}}},
	} {
		var found []string
		for _, rule := range importRules {
			found = append(found, rule.breaches(c.tree)...)
		}
		if got := strings.Join(found, "; "); got != c.breach {
			t.Errorf("found %q, want %q", got, c.breach)
		}
	}
}

func TestZrpcRuleSeesAliases(t *testing.T) {
	text := `package p
import rpc "github.com/zeromicro/go-zero/zrpc"
var s = rpc.MustNewServer(c, nil)
var d = other.MustNewServer(c, nil)`
	if got := builtElsewhere(parsed(t, "vitals-rpc/a.go", text)); len(got) != 1 || !strings.HasPrefix(got[0], "vitals-rpc/a.go:3: zrpc.MustNewServer") {
		t.Errorf("found %q, want line 3 only", got)
	}
	if got := builtElsewhere(parsed(t, "internal/rpcserver/a.go", text)); len(got) != 0 {
		t.Errorf("found %q in the one place where it is right", got)
	}
}
