package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // The driver.
)

func openSQLite(path, pragmas string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: absolute}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(5000)"+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// snapshot copies a database as it is at one moment into a new file, while its
// service goes on writing.
func snapshot(ctx context.Context, from, to string) error {
	db, err := openSQLite(from, "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO $1`, to)
	return errors.Join(err, db.Close())
}

// examine checks a database that nobody else has open, and digests its tables.
func examine(ctx context.Context, service, path string) (tables []Table, err error) {
	db, err := openSQLite(path, "&_pragma=query_only(ON)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("%s: integrity check: %s", service, verdict)
	}
	columns, err := catalogue(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, table := range columns {
		t, err := digestOf(ctx, db, service, table.name, table.columns)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

type tableColumns struct {
	name    string
	columns []string
}

// catalogue lists the tables that hold the service's rows. The versions of the
// schema (goose_db_version) are in the file, but carry the time of the migration
// and so differ between equal databases.
func catalogue(ctx context.Context, db *sql.DB) (tables []tableColumns, err error) {
	rows, err := db.QueryContext(ctx, `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, err
		}
		if n := len(tables); n == 0 || tables[n-1].name != table {
			tables = append(tables, tableColumns{name: table})
		}
		last := &tables[len(tables)-1]
		last.columns = append(last.columns, column)
	}
	return tables, rows.Err()
}
