// Package backup makes one encrypted file of all that the suite keeps, while the
// suite runs, and makes the data again of such a file.
//
// What is consistent with what: each database is copied as it was at one moment
// (Source says how); an image's row is written after its bytes and neither ever
// changes, so the images that the copy of dicom-rpc's database names are copied
// after it; the registry is copied last, so that it knows every subject that
// the others name. Uploads that are still under way are not in it: their callers
// have the bytes.
//
// A database is in it as a SQLite file, from either engine: of PostgreSQL's schemas
// files are made within one transaction (sqldb.Snapshot), and clinctl move takes
// what was restored back to PostgreSQL.
//
// The file is an age stream (https://age-encryption.org/v1) to the recipients'
// public keys, so that the machine that makes backups cannot read them. Inside
// is a tar: head.json, the databases, the images, and last manifest.json with the
// count of rows and a digest of every table. A file that was cut has no manifest
// and is refused; age itself finds every changed byte. Restore writes into a new
// folder beside the wanted one, compares everything with the manifest, and only
// then gives it its name.
//
// Certificates, keys and configuration are not in it: they are the operator's.
package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clinsource/internal/sqldb"
)

// format is the version of the layout inside the tar.
const format = 1

// ErrDamaged says that the stored bytes of some images are not those of their
// records. A backup that reports it is complete otherwise, and says which.
var ErrDamaged = errors.New("some images do not have the bytes that their records say")

// Head is the first entry: what follows.
type Head struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Engine  string    `json:"engine"` // What it was taken from: sqlite or postgres.
}

// Manifest is the last entry: what must be there after a restore.
type Manifest struct {
	Head
	Tables  []Table  `json:"tables"`
	Images  int64    `json:"images"`            // How many.
	Bytes   int64    `json:"bytes"`             // Of all images.
	Damaged []string `json:"damaged,omitempty"` // Ids of images whose bytes were wrong when they were copied.
}

// Rows is the count of all tables' rows.
func (m Manifest) Rows() (n int64) {
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}

// Table is what the rows of one table of one service come to.
type Table struct {
	Service string `json:"service"`
	Name    string `json:"name"`
	Rows    int64  `json:"rows"`
	Digest  string `json:"digest"` // As sqldb.Sum has it.
}

// tablesOf sums the tables of a service's file.
func tablesOf(ctx context.Context, service, path string) (tables []Table, err error) {
	sums, err := sqldb.Sums(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	for _, s := range sums {
		tables = append(tables, Table{Service: service, Name: s.Table, Rows: s.Rows, Digest: s.Hash})
	}
	return tables, nil
}

// services are copied in this order; see the package comment.
var services = []struct{ name, file string }{
	{"vitals-rpc", "vitals.db"},
	{"dicom-rpc", "images.db"},
	{"epro-rpc", "reports.db"},
	{"subject-rpc", "registry.db"},
}

// The names inside the tar and under the data folder.
const (
	headName     = "head.json"
	manifestName = "manifest.json"
	imageService = "dicom-rpc"
	imageFolder  = "dicom-rpc/images"
)

// imagePlace is where dicom-rpc keeps an image, under its folder.
func imagePlace(id string) string { return id[max(0, len(id)-2):] + "/" + id }
