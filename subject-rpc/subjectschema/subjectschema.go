// Package subjectschema is what the operator's tools know of the database of the registry and of medication:
// its name and its migrations.
package subjectschema

import (
	"io/fs"

	"clinsource/internal/records"
	"clinsource/subject-rpc/internal/store"
)

// Name of the schema on PostgreSQL, and the end of its role's name.
const Name = "subject"

// Migrations of the schema, for every engine.
func Migrations() fs.FS { return records.WithSchema(store.Migrations) }
