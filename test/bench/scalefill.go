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
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.data, "vitals-rpc", "vitals.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	err = multiply(ctx, db, w.rows)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "filled %d rows in %s\n", w.rows, time.Since(begun).Round(time.Second))
	return os.WriteFile(filled, nil, 0o600)
}

// plant makes the project, its subjects and the record that is copied.
func (w *scaleWorld) plant(ctx context.Context) (err error) {
	suite, err := startSuite(ctx, w.bin, w.data)
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

// The copies: record i of subject i mod scaleSubjects, a minute apart, with ids
// whose order is that of their times, as UUIDv7 has it. $1 and $2 are the first
// i and the one after the last.
const (
	scaleNumbers = `WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2),
 t AS (SELECT i, 1704096000000 + i * 6000 AS ms, printf('scale-%05d', i % ` + "500" + `) AS patient, 's' || (1 + i % 2) AS site FROM n),
 id AS (SELECT *, printf('%08x-%04x-7000-8000-%012x', ms / 65536, ms % 65536, i) AS record FROM t)`
	copyRecords = scaleNumbers + ` INSERT INTO records
 (project_id, record_id, version, site_id, patient_id, client_record_id, at_us, received_us, content, findings)
 SELECT 'scale', record, 1, site, patient, 'c' || i, ms * 1000, ms * 1000, s.content, s.findings
 FROM id, (SELECT content, findings FROM records WHERE project_id = 'scale' AND client_record_id = 'seed') s`
	copyNames = scaleNumbers + ` INSERT INTO record_ids (project_id, client_key, content_hash, record_id)
 SELECT 'scale', 'c:c' || i, record, record FROM id`
	countSubjects = `INSERT INTO record_totals (project_id, site_id, patient_id, records, queried, subjects, newest_us)
 SELECT project_id, site_id, patient_id, COUNT(*), 0, 0, MAX(at_us) FROM records GROUP BY project_id, site_id, patient_id`
	countSites = `INSERT INTO record_totals (project_id, site_id, patient_id, records, queried, subjects, newest_us)
 SELECT project_id, site_id, '', SUM(records), 0, COUNT(*), MAX(newest_us) FROM record_totals WHERE patient_id <> '' GROUP BY project_id, site_id`
)

// multiply copies the seed until there are about rows records, and counts anew.
func multiply(ctx context.Context, db *sql.DB, rows int64) error {
	const step = 50_000
	for from := int64(0); from < rows; from += step {
		to := min(from+step, rows)
		for _, statement := range []string{copyRecords, copyNames} {
			if _, err := db.ExecContext(ctx, statement, from, to); err != nil {
				return err
			}
		}
	}
	for _, statement := range []string{`DELETE FROM record_totals`, countSubjects, countSites, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.40s: %w", statement, err)
		}
	}
	return nil
}
