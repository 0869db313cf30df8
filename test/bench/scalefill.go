package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clinsource/internal/auth"
)

// fill makes the project through the suite, so that schema, subjects and one
// record are as the services make them, and then copies the record by SQL while
// the suite is down: ten million uploads would take an hour. Data of that size
// that an earlier run kept serve again.
func (w *scaleWorld) fill(ctx context.Context, out io.Writer) error {
	filled := filepath.Join(w.data, "filled")
	if _, err := os.Stat(filled); err == nil {
		return nil
	}
	if err := w.plant(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if err := w.copySeed(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "filled %d rows in %s\n", w.rows, time.Since(begun).Round(time.Second))
	return os.WriteFile(filled, nil, 0o600)
}

func (w *scaleWorld) copySeed(ctx context.Context) error {
	driver, place, engine := "sqlite", "file:"+filepath.Join(w.data, "vitals-rpc", "vitals.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)", inSQLite
	if w.store != "" {
		driver, place, engine = "pgx", w.store+"&search_path=vitals&synchronous_commit=off", inPostgres
	}
	db, err := sql.Open(driver, place)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	if w.store == "" {
		return multiply(ctx, db, engine, w.rows)
	}
	engine.finish, err = dropIndexes(ctx, db, engine.finish)
	return errors.Join(err, multiply(ctx, db, engine, w.rows))
}

// dropIndexes takes the indexes of the records away, all but the primary key's,
// and puts before what is to be done in the end that they be made again: filled
// row by row they more than double the time (29 and 13 minutes for 10^7).
func dropIndexes(ctx context.Context, db *sql.DB, finish []string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT indexname, indexdef FROM pg_indexes
 WHERE schemaname = 'vitals' AND tablename = 'records' AND indexname <> 'records_pkey'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var drop, again []string
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			return nil, err
		}
		drop = append(drop, "DROP INDEX "+name)
		again = append(again, strings.Replace(definition, " ON ONLY ", " ON ", 1)) // On its partitions too.
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, statement := range drop {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	return append(again, finish...), nil
}

// plant makes the project, its subjects and the record that is copied.
func (w *scaleWorld) plant(ctx context.Context) (err error) {
	suite, err := startSuite(ctx, w.bin, w.data, w.launch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, suite.stop()) }()
	admin, err := token(auth.Grant{Role: auth.Admin}, auth.Grant{Role: auth.Admin, Project: scaleProject})
	if err != nil {
		return err
	}
	web, err := newWeb(1, false)
	if err != nil {
		return err
	}
	defer web.CloseIdleConnections()
	path := "/v1/projects/" + scaleProject
	post := func(path, body string) error {
		_, err := send(ctx, web, http.MethodPost, path, admin, []byte(body))
		return err
	}
	errs := []error{post("/v1/projects", `{"project_id":"scale"}`), post(path+"/sites", `{"site_id":"s1"}`), post(path+"/sites", `{"site_id":"s2"}`)}
	for i := range scaleSubjects {
		errs = append(errs, post(path+"/subjects", fmt.Sprintf(`{"patient_id":%q,"site_id":%q}`, scalePatient(i), siteOf(i))))
	}
	errs = append(errs, post(path+"/subjects/"+scalePatient(0)+"/vitals", `{"client_record_id":"seed","measurement_time":"2024-01-01T08:00:00Z",
 "blood_pressure":{"systolic":121,"diastolic":79},"temperature":{"value":36.9,"unit":"CELSIUS"},"heart_rate":{"beats_per_minute":64}}`))
	return errors.Join(errs...)
}

// copying is what filling a database takes on one engine. The copies: record i of
// subject i mod scaleSubjects, six seconds apart, with ids whose order is that of
// their times, as UUIDv7 has it. $1 and $2 are the first i and the one after the
// last.
type copying struct {
	numbers       string // Gives i, ms, patient, site and record as the table id.
	first, finish []string
}

const scaleFrom = "1704096000000" // 2024-01-01T08:00:00Z in milliseconds.

var inSQLite = copying{
	numbers: `WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2),
 t AS (SELECT i, ` + scaleFrom + ` + i * 6000 AS ms, printf('scale-%05d', i % 500) AS patient, 's' || (1 + i % 2) AS site FROM n),
 id AS (SELECT *, printf('%08x-%04x-7000-8000-%012x', ms / 65536, ms % 65536, i) AS record FROM t)`,
	finish: []string{`PRAGMA wal_checkpoint(TRUNCATE)`},
}

var inPostgres = copying{
	numbers: `WITH n(i) AS (SELECT generate_series($1::bigint, $2::bigint - 1)),
 t AS (SELECT i, ` + scaleFrom + ` + i * 6000 AS ms, 'scale-' || lpad((i % 500)::text, 5, '0') AS patient, 's' || (1 + i % 2) AS site FROM n),
 id AS (SELECT *, lpad(to_hex(ms / 65536), 8, '0') || '-' || lpad(to_hex(ms % 65536), 4, '0') || '-7000-8000-' || lpad(to_hex(i), 12, '0') AS record FROM t)`,
	first:  []string{`SELECT make_partitions('2024-01-01', now())`},
	finish: []string{`VACUUM ANALYZE`},
}

const (
	copyRecords = ` INSERT INTO records
 (project_id, record_id, version, site_id, patient_id, client_record_id, at_us, received_us, content, findings)
 SELECT 'scale', record, 1, site, patient, 'c' || i, ms * 1000, ms * 1000, s.content, s.findings
 FROM id, (SELECT content, findings FROM records WHERE project_id = 'scale' AND client_record_id = 'seed') s`
	copyNames = ` INSERT INTO record_ids (project_id, client_key, content_hash, record_id)
 SELECT 'scale', 'c:c' || i, record, record FROM id`
	countSubjects = `INSERT INTO record_totals (project_id, site_id, patient_id, records, queried, subjects, newest_us)
 SELECT project_id, site_id, patient_id, COUNT(*), 0, 0, MAX(at_us) FROM records GROUP BY project_id, site_id, patient_id`
	countSites = `INSERT INTO record_totals (project_id, site_id, patient_id, records, queried, subjects, newest_us)
 SELECT project_id, site_id, '', SUM(records), 0, COUNT(*), MAX(newest_us) FROM record_totals WHERE patient_id <> '' GROUP BY project_id, site_id`
)

// multiply copies the seed until there are about rows records, and counts anew.
func multiply(ctx context.Context, db *sql.DB, engine copying, rows int64) error {
	const step = 50_000
	run := func(statement string, args ...any) error {
		if _, err := db.ExecContext(ctx, statement, args...); err != nil {
			return fmt.Errorf("%.40s: %w", statement, err)
		}
		return nil
	}
	for _, statement := range engine.first {
		if err := run(statement); err != nil {
			return err
		}
	}
	for from := int64(0); from < rows; from += step {
		to := min(from+step, rows)
		if err := errors.Join(run(engine.numbers+copyRecords, from, to), run(engine.numbers+copyNames, from, to)); err != nil {
			return err
		}
	}
	for _, statement := range append([]string{`DELETE FROM record_totals`, countSubjects, countSites}, engine.finish...) {
		if err := run(statement); err != nil {
			return err
		}
	}
	return nil
}
