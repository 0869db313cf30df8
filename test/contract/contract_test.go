// Package contract_test holds the suite's gRPC contracts: what was promised
// stays, and what is offered is documented.
//
// A promise is a folder under testdata with the .proto files that somebody's
// client was compiled from. Today there is one, testdata/article: the contract
// the project started from, word for word. At a release proto/ is copied into
// a folder named after it, and from then on the same test keeps its clients
// working too.
//
// The promised files declare the same full names as ours, and Go's protobuf
// panics when one binary registers a name twice. So they are never compiled to
// Go: protocompile reads the source, and the comparison, and the old client of
// oldclient_test.go, work on descriptors.
package contract_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/corpus"
	accesspb "clinsource/proto/access"
	auditpb "clinsource/proto/audit"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// ours are the contracts as linked into the services.
var ours = []protoreflect.FileDescriptor{
	accesspb.File_proto_access_access_proto,
	dicompb.File_proto_dicom_dicom_proto,
	epropb.File_proto_epro_epro_proto,
	medicationpb.File_proto_medication_medication_proto,
	recordpb.File_proto_record_record_proto,
	subjectpb.File_proto_subject_subject_proto,
	auditpb.File_proto_audit_audit_proto,
	vitalspb.File_proto_vitals_vitals_proto,
}

// compile reads .proto files under root, comments included, without
// registering anything.
func compile(t *testing.T, root string, names ...string) linker.Files {
	t.Helper()
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sources gives our .proto files as written, with their comments. A field
// number used twice in one message does not compile.
func sources(t *testing.T) linker.Files {
	t.Helper()
	root := corpus.Root(t)
	names := protosUnder(t, root, "proto")
	if len(names) != len(ours) {
		t.Fatalf("proto/ has %d .proto files, these tests look at %d: add the new one to ours", len(names), len(ours))
	}
	return compile(t, root, names...)
}

// protosUnder lists the .proto files in root/folder, relative to root.
func protosUnder(t *testing.T, root, folder string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(root), folder, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".proto") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// each gives the elements of one of protoreflect's lists (messages, fields,
// methods, ...), which have a length and an index but no iterator.
func each[D any](list interface {
	Len() int
	Get(int) D
}) func(yield func(D) bool) {
	return func(yield func(D) bool) {
		for i := range list.Len() {
			if !yield(list.Get(i)) {
				return
			}
		}
	}
}

// messagesIn gives every message of a file or message, nested ones included.
// Map entries are left out: protoc makes them up, nobody writes them.
func messagesIn(parent interface {
	Messages() protoreflect.MessageDescriptors
}) []protoreflect.MessageDescriptor {
	var all []protoreflect.MessageDescriptor
	for m := range each(parent.Messages()) {
		if !m.IsMapEntry() {
			all = append(append(all, m), messagesIn(m)...)
		}
	}
	return all
}

// enumsIn gives every enum of a file, those nested in messages included.
func enumsIn(file protoreflect.FileDescriptor) []protoreflect.EnumDescriptor {
	var all []protoreflect.EnumDescriptor
	for e := range each(file.Enums()) {
		all = append(all, e)
	}
	for _, m := range messagesIn(file) {
		for e := range each(m.Enums()) {
			all = append(all, e)
		}
	}
	return all
}

// methodsIn gives every RPC of a file.
func methodsIn(file protoreflect.FileDescriptor) []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for s := range each(file.Services()) {
		for m := range each(s.Methods()) {
			all = append(all, m)
		}
	}
	return all
}

// comment is what stands above an element, or behind it on its line.
func comment(d protoreflect.Descriptor) string {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	return strings.TrimSpace(at.LeadingComments + " " + at.TrailingComments)
}

// The copy in testdata is the article's own text: a promise edited to fit the
// code would promise nothing.
func TestArticleCopyIsTheArticles(t *testing.T) {
	for _, name := range []string{"vitals.proto", "dicom.proto"} {
		original, err := os.ReadFile(corpus.Shared(t, "contract", name))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join("testdata", "article", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(kept) != string(original) {
			t.Errorf("testdata/article/%s differs from the article's; copy it again, do not edit it", name)
		}
	}
}
