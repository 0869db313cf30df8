package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// comments are the words of the .proto files, by full name. The descriptors
// that are linked into a binary have none.
type comments map[protoreflect.FullName]string

func readComments(ctx context.Context, root string) (comments, error) {
	names, err := filepath.Glob(filepath.Join(root, "proto", "*", "*.proto"))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if names[i], err = filepath.Rel(root, name); err != nil {
			return nil, err
		}
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	found := comments{}
	for _, file := range files {
		found.enums(file.Enums())
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			found.add(m)
			found.enums(m.Enums())
			for j := range m.Fields().Len() {
				found.add(m.Fields().Get(j))
			}
		}
	}
	return found, nil
}

func (c comments) enums(list protoreflect.EnumDescriptors) {
	for i := range list.Len() {
		c.add(list.Get(i))
		for j := range list.Get(i).Values().Len() {
			c.add(list.Get(i).Values().Get(j))
		}
	}
}

// add keeps what stands above an element and behind it, as one line.
func (c comments) add(d protoreflect.Descriptor) {
	location := d.ParentFile().SourceLocations().ByDescriptor(d)
	c[d.FullName()] = strings.Join(strings.Fields(location.LeadingComments+" "+location.TrailingComments), " ")
}
