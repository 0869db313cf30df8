// Package eproschema is what the operator's tools know of the database of reports:
// its name and its migrations.
package eproschema

import (
	"io/fs"

	"clinsource/internal/records"
)

// Name of the schema on PostgreSQL, and the end of its role's name.
const Name = "epro"

// Migrations of the schema, for every engine.
func Migrations() fs.FS { return records.WithSchema() }
