package contract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestPromises compares every folder of testdata with the contracts that the
// services are linked with: all that was promised is there, unchanged.
func TestPromises(t *testing.T) {
	folders, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		t.Run(folder.Name(), func(t *testing.T) {
			root := filepath.Join("testdata", folder.Name())
			names := protosUnder(t, root, ".")
			if len(names) < 2 {
				t.Fatalf("%s holds %d contracts; the article alone has two", root, len(names))
			}
			for _, promised := range compile(t, root, names...) {
				for _, breach := range breaches(promised, ours) {
					t.Errorf("%s: %s", promised.Path(), breach)
				}
			}
		})
	}
}

// breaches names what of a promised file is missing or different in the files
// offered. More in the offer is no breach.
func breaches(promised protoreflect.FileDescriptor, offered []protoreflect.FileDescriptor) []string {
	is := map[protoreflect.FullName]string{}
	for _, file := range offered {
		for _, f := range facts(file) {
			is[f.name] = f.what
		}
	}
	var found []string
	for _, f := range facts(promised) {
		switch what, ok := is[f.name]; {
		case !ok:
			found = append(found, fmt.Sprintf("%s is gone (was %s); clients compiled from this contract break", f.name, f.what))
		case what != f.what:
			found = append(found, fmt.Sprintf("%s is now %s, promised was %s; add a new field or RPC instead", f.name, what, f.what))
		}
	}
	return found
}

// fact is one thing a compiled client relies on: an element by its name, and
// all about it that the wire or the generated code depends on.
type fact struct {
	name protoreflect.FullName
	what string
}

// facts lists all elements of a file.
func facts(file protoreflect.FileDescriptor) []fact {
	var all []fact
	for s := range each(file.Services()) {
		all = append(all, fact{s.FullName(), "a service"})
	}
	for _, m := range methodsIn(file) {
		all = append(all, fact{m.FullName(), method(m)})
	}
	for _, m := range messagesIn(file) {
		all = append(all, fact{m.FullName(), "a message of " + file.Syntax().String()})
		for f := range each(m.Fields()) {
			all = append(all, fact{f.FullName(), field(f)})
		}
	}
	for _, e := range enumsIn(file) {
		all = append(all, fact{e.FullName(), "an enum"})
		for v := range each(e.Values()) {
			// A value's full name leaves out its enum: say which one it is.
			all = append(all, fact{e.FullName().Append(v.Name()), fmt.Sprintf("value %d", v.Number())})
		}
	}
	return all
}

func method(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("rpc(%s%s) returns (%s%s)",
		stream(m.IsStreamingClient()), m.Input().FullName(),
		stream(m.IsStreamingServer()), m.Output().FullName())
}

func stream(yes bool) string {
	if yes {
		return "stream "
	}
	return ""
}

// field tells number, label, type, oneof, presence, packing and JSON name. A
// map shows as a repeated message, as it does on the wire.
func field(f protoreflect.FieldDescriptor) string {
	kind := f.Kind().String()
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		kind = string(f.Message().FullName())
	case protoreflect.EnumKind:
		kind = string(f.Enum().FullName())
	}
	told := fmt.Sprintf("%s %s = %d (json %s", f.Cardinality(), kind, f.Number(), f.JSONName())
	if f.IsPacked() {
		told += ", packed"
	}
	if one := f.ContainingOneof(); one != nil {
		told += ", in oneof " + string(one.Name())
	}
	return told + ")"
}

// Each row breaks one thing in a small contract, as a later hand might.
func TestBreachesAreNoticed(t *testing.T) {
	const promised = `syntax = "proto3"; package p;
service S { rpc Do(stream In) returns (Out); }
message In { oneof data { string a = 1; bytes b = 2; } int32 n = 3; repeated int32 many = 4; Unit unit = 5; Out out = 6; }
message Out { bool ok = 1; }
enum Unit { ZERO = 0; ONE = 1; }`
	for name, c := range map[string]struct{ old, new, breach string }{
		"nothing":         {"", "", ""},
		"field added":     {"bool ok = 1;", "bool ok = 1; string more = 2;", ""},
		"rpc added":       {"service S {", "service S { rpc More(Out) returns (Out);", ""},
		"service gone":    {"service S { rpc", "service Other { rpc", "p.S is gone"},
		"rpc renamed":     {"rpc Do(", "rpc Done(", "p.S.Do is gone"},
		"stream ended":    {"stream In", "In", "p.S.Do is now rpc(p.In) returns (p.Out)"},
		"answer streams":  {"returns (Out)", "returns (stream Out)", "returns (stream p.Out)"},
		"answer changed":  {"returns (Out)", "returns (In)", "returns (p.In)"},
		"field gone":      {"int32 n = 3;", "reserved 3;", "p.In.n is gone"},
		"field renamed":   {"int32 n = 3", "int32 number = 3", "p.In.n is gone"},
		"renumbered":      {"int32 n = 3", "int32 n = 7", "p.In.n is now optional int32 = 7"},
		"number reused":   {"int32 n = 3", "string other = 3", "p.In.n is gone"},
		"type changed":    {"int32 n = 3", "int64 n = 3", "p.In.n is now optional int64 = 3"},
		"label changed":   {"int32 n = 3", "repeated int32 n = 3", "p.In.n is now repeated int32 = 3"},
		"presence gained": {"int32 n = 3", "optional int32 n = 3", "in oneof _n"},
		"unpacked":        {"many = 4", "many = 4 [packed = false]", "p.In.many is now"},
		"json renamed":    {"n = 3", `n = 3 [json_name = "m"]`, "p.In.n is now"},
		"out of oneof":    {"string a = 1; bytes b = 2; }", "bytes b = 2; } string a = 1;", "p.In.a is now"},
		"message swapped": {"Out out = 6", "In out = 6", "p.In.out is now optional p.In = 6"},
		"enum renumbered": {"ONE = 1", "ONE = 2", "p.Unit.ONE is now value 2"},
		"value gone":      {"ONE = 1;", "", "p.Unit.ONE is gone"},
		"enum to number":  {"Unit unit = 5", "int32 unit = 5", "p.In.unit is now optional int32 = 5"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(promised, c.old, c.new, 1)
			if c.old != "" && changed == promised {
				t.Fatalf("the row changes nothing: no %q", c.old)
			}
			was, is := inline(t, promised), inline(t, changed)
			found := strings.Join(breaches(was, []protoreflect.FileDescriptor{is}), "\n")
			if c.breach == "" && found != "" {
				t.Errorf("no breach, yet reported:\n%s", found)
			}
			if !strings.Contains(found, c.breach) {
				t.Errorf("want a breach with %q, have:\n%s", c.breach, found)
			}
		})
	}
}

func inline(t *testing.T, source string) protoreflect.FileDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"p.proto": source}),
	}}
	files, err := c.Compile(t.Context(), "p.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// The Go in proto/ is made from the .proto files beside it.
func TestGeneratedCodeMatchesItsSource(t *testing.T) {
	for _, source := range sources(t) {
		for _, breach := range breaches(source, ours) {
			t.Errorf("%s: not what the generated code says (run make generate): %s", source.Path(), breach)
		}
	}
}
