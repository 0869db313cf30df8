package store_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		f(t, store.New(open(records.WithSchema(store.Migrations))))
	})
}

func put(ctx context.Context, s *store.Store, id string) error {
	_, _, err := s.Put(ctx, records.Draft{
		Record: records.Record{Project: "p", Site: "a", Patient: "s-01", ID: id, Content: []byte("{}")},
		Hash:   records.HashOf([]byte(id)), ByContent: true,
	})
	return err
}

func TestInstances(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := within(t)
		for _, c := range []struct {
			project, uid string
			want         bool
		}{{"p", "1.2", false}, {"p", "1.2", true}, {"p", "1.2.3", false}, {"q", "1.2", false}, {"q", "1.2", true}} {
			var got bool
			err := s.DB().Write(ctx, func(tx *sqldb.Tx) (err error) {
				if got, err = store.HasInstance(ctx, tx, c.project, c.uid); err != nil {
					return err
				}
				return store.AddInstance(ctx, tx, c.project, c.uid, time.Now().Format(time.RFC3339Nano))
			})
			if err != nil || got != c.want {
				t.Errorf("%s %s: %v, %v, want %v", c.project, c.uid, got, err, c.want)
			}
		}
	})
}

func TestFateOfImages(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := within(t)
		if err := put(ctx, s, "one"); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]blob.Fate{"one": blob.Visible, "two": blob.Unknown, "": blob.Unknown} {
			if got, err := s.Fate(ctx, id); err != nil || got != want {
				t.Errorf("%q: %v, %v", id, got, err)
			}
		}
	})
}

// TestFateKnowsAWriteWithoutAnAnswer asks while a row is being written whose
// caller has left without an answer.
func TestFateKnowsAWriteWithoutAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx, leave := context.WithCancel(within(t))
		left := make(chan error)
		begun, goOn := make(chan struct{}), make(chan struct{})
		go func() {
			left <- s.DB().Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO records
 (project_id, record_id, version, site_id, patient_id, client_record_id, at_us, received_us, content, findings)
 VALUES ('p', 'one', 1, 'a', 's-01', '', 0, 0, '{}', '[]')`)
				close(begun)
				<-goOn
				return err
			}, records.RecordKey("one"))
		}()
		<-begun
		leave()
		if err := <-left; !errors.Is(err, sqldb.ErrOutcomeUnknown) {
			t.Fatalf("the caller learnt %v", err)
		}
		asked := make(chan bool)
		go func() {
			fate, err := s.Fate(within(t), "one")
			if err != nil {
				t.Error(err)
			}
			asked <- fate == blob.Visible
		}()
		close(goOn)
		if !<-asked {
			t.Error("the row is not known")
		}
	})
}
