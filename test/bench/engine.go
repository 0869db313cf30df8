package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/wirejson"
	vitalspb "clinsource/proto/vitals"
)

// engineFile is the bare commit queue's database, in the run's folder.
const engineFile = "engine.db"

// engine is the bare commit queue: what vitals-rpc writes for one UploadVitals
// (record, identity, counts, newest values, audit row) through the same store
// and the same queue, and nothing else that the service does: no gRPC, no TLS,
// no token, no judging, no encoding. checkSameWrite holds it to that.
type engine struct {
	db      *sqldb.DB
	store   *records.Store
	world   *world
	content []byte
}

// openEngine opens a fresh database with vitals-rpc's own migrations.
func openEngine(ctx context.Context, path string, w *world) (*engine, error) {
	db, err := sqldb.Open(ctx, sqldb.Config{Path: path}, migrations())
	if err != nil {
		return nil, err
	}
	return &engine{db: db, store: records.NewStore(db, auth.Vitals), world: w, content: contentOf(w.next())}, nil
}

// migrations are those of vitals-rpc, read from where it embeds them.
func migrations() fs.FS { return records.WithSchema(os.DirFS("vitals-rpc/internal/store")) }

func (e *engine) Close() error { return e.db.Close() }

// contentOf is what vitals-rpc keeps of an upload: the request, completed.
func contentOf(u upload) []byte {
	in := u.message()
	return wirejson.Encode(&vitalspb.VitalsRecord{
		PatientId: u.patient, MeasurementTime: in.GetMeasurementTime(),
		SourceTimeText: u.at.UTC().Format("2006-01-02T15:04:05.000Z"),
		BloodPressure: &vitalspb.BloodPressure{
			Systolic: u.systolic, Diastolic: u.diastolic, SystolicEntered: fmt.Sprint(u.systolic), DiastolicEntered: fmt.Sprint(u.diastolic),
		},
		Temperature:           &vitalspb.Temperature{Value: u.temperature, ValueEntered: "36.6", CanonicalCelsius: "36.60"},
		HeartRate:             &vitalspb.HeartRate{BeatsPerMinute: u.heartRate, BeatsPerMinuteEntered: fmt.Sprint(u.heartRate)},
		BloodPressureCategory: vitalspb.BloodPressureCategory_NORMAL,
	})
}

// put writes one upload; it has the signature of an operation.
func (e *engine) put(ctx context.Context, _ int) (time.Duration, error) {
	u := e.world.next()
	id := callinfo.NewRequestID()
	ctx = callinfo.WithPeer(callinfo.WithRequestID(ctx, id), "partner")
	ctx = auth.WithUser(ctx, &auth.User{Subject: "bench"})
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	_, created, err := e.store.Put(ctx, records.Draft{
		Record: records.Record{
			Project: e.world.project, Site: siteOf(int(u.systolic)), Patient: u.patient, ClientRecordID: u.id,
			At: u.at, Content: e.content,
		},
		Hash:    records.HashOf(e.content, []byte(u.id)),
		Role:    auth.Device,
		Tallies: map[string]int64{"blood_pressure_category:NORMAL": 1},
		Also:    rememberLatest,
	})
	if err == nil && !created {
		err = fmt.Errorf("%s was there already", u.id)
	}
	return 0, err
}

// component is one number of a sign, as vitals-rpc keeps it.
type component struct {
	Field         string `json:"field"`
	Canonical     string `json:"canonical"`
	CanonicalUnit string `json:"canonical_unit"`
	Entered       string `json:"entered"`
	EnteredUnit   string `json:"entered_unit"`
}

var latest = []struct {
	sign, category string
	components     []component
}{
	{"blood_pressure", "NORMAL", []component{
		{"blood_pressure.systolic", "115", "mm[Hg]", "115", "mm[Hg]"}, {"blood_pressure.diastolic", "75", "mm[Hg]", "75", "mm[Hg]"},
	}},
	{"temperature", "", []component{{"temperature.value", "36.60", "Cel", "36.6", "CELSIUS"}}},
	{"heart_rate", "", []component{{"heart_rate.beats_per_minute", "65", "/min", "65", "/min"}}},
}

// rememberLatest is vitals-rpc's upsert of the newest values, whose package
// nobody else may import.
func rememberLatest(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
	for _, v := range latest {
		components, err := json.Marshal(v.components)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO vitals_latest
 (project_id, patient_id, sign, site_id, measured_us, record_id, components, category, queried)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
 ON CONFLICT (project_id, patient_id, sign) DO UPDATE SET
  site_id = excluded.site_id, measured_us = excluded.measured_us, record_id = excluded.record_id,
  components = excluded.components, category = excluded.category, queried = excluded.queried
 WHERE excluded.measured_us >= vitals_latest.measured_us`,
			r.Project, r.Patient, v.sign, r.Site, r.At.UnixMicro(), r.ID, string(components), v.category, int64(0))
		if err != nil {
			return err
		}
	}
	return nil
}
