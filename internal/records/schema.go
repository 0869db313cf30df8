package records

import (
	"embed"
	"io/fs"
	"path"
	"testing/fstest"
)

//go:embed sqlite/*.sql postgres/*.sql
var schema embed.FS

// WithSchema adds the tables of this package and of audit (migrations 00001 and
// 00002) to a service's own migrations, which begin with 00003.
func WithSchema(own ...fs.FS) fs.FS {
	merged := fstest.MapFS{}
	for _, source := range append([]fs.FS{schema}, own...) {
		names, err := fs.Glob(source, "*/*.sql")
		if err != nil {
			panic(err) // Only for a malformed pattern.
		}
		for _, name := range names {
			data, err := fs.ReadFile(source, name)
			if err != nil {
				panic(err) // An embedded file can be read.
			}
			if _, taken := merged[name]; taken {
				panic("two migrations are called " + path.Base(name))
			}
			merged[name] = &fstest.MapFile{Data: data, Mode: 0o444}
		}
	}
	return merged
}
