// Package dicomschema is what the operator's tools know of the database of images:
// its name and its migrations.
package dicomschema

import (
	"io/fs"

	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/records"
)

// Name of the schema on PostgreSQL, and the end of its role's name.
const Name = "dicom"

// Migrations of the schema, for every engine.
func Migrations() fs.FS { return records.WithSchema(store.Migrations) }
