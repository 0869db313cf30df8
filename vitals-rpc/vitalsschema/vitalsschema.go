// Package vitalsschema is what the operator's tools know of the database of vital signs:
// its name and its migrations.
package vitalsschema

import (
	"io/fs"

	"clinsource/internal/records"
	"clinsource/vitals-rpc/internal/store"
)

// Name of the schema on PostgreSQL, and the end of its role's name.
const Name = "vitals"

// Migrations of the schema, for every engine.
func Migrations() fs.FS { return records.WithSchema(store.Migrations) }
