package audit

import (
	"context"
	"iter"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
)

// Stored gives the versions that are stored of one kind of record, each with the
// digest of it as it lies there now.
type Stored func(ctx context.Context) iter.Seq2[auditlog.Version, error]

// Holds says how to read what the log is about, for exports.
func (l *Log) Holds(kind auth.Kind, stored Stored) {
	l.stored = append(l.stored, kindStored{kind, stored})
}

type kindStored struct {
	kind auth.Kind
	all  Stored
}

// Reader is what an exporter may read.
type Reader interface {
	Row(r *auditlog.Row) bool
	// Projects are those of which all may be read, stored versions included.
	Projects() []string
}

// Export gives all of the log, under a checkpoint made now: the stored versions that
// may be read, its checkpoints, its rows (those that may not be read as hashes).
//
// Others go on writing meanwhile, so there are two checkpoints, and the versions are
// read between them: each version that the first covers must be there, and each that
// is there must be covered by the second, which is the last in the export. Rows
// after it are left out.
func (l *Log) Export(ctx context.Context, may Reader, emit func(auditlog.Line) error) error {
	x := &exporting{may: may, whole: map[string]bool{}, emit: func(line auditlog.Line) error {
		line.Service = l.service
		return emit(line)
	}}
	if err := l.exportStored(ctx, x); err != nil {
		return err
	}
	if err := l.Seal(ctx); err != nil {
		return err
	}
	if err := l.exportCheckpoints(ctx, x); err != nil {
		return err
	}
	x.broken = l.brokenNow()
	for r, err := range Rows(ctx, l.db) {
		if err == nil {
			err = x.row(r)
		}
		if err != nil {
			return err
		}
	}
	return x.emit(auditlog.Line{End: &x.end})
}

// exporting is one export on its way.
type exporting struct {
	may    Reader
	whole  map[string]bool // Projects of which all may be read.
	emit   func(auditlog.Line) error
	last   auditlog.Checkpoint
	broken map[int64]bool
	end    auditlog.End
}

func (l *Log) exportStored(ctx context.Context, x *exporting) error {
	if err := l.Seal(ctx); err != nil {
		return err
	}
	first, _, err := newestCheckpoint(ctx, l.db)
	if err != nil {
		return err
	}
	data := &auditlog.Data{Checkpoint: first.Seq, Projects: x.may.Projects()}
	for _, p := range data.Projects {
		x.whole[p] = true
	}
	for _, s := range l.stored {
		data.Kinds = append(data.Kinds, string(s.kind))
	}
	if err := x.emit(auditlog.Line{Data: data}); err != nil {
		return err
	}
	for _, s := range l.stored {
		for v, err := range s.all(ctx) {
			if err == nil {
				err = x.version(v)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *exporting) version(v auditlog.Version) error {
	if !x.whole[v.Project] {
		return nil
	}
	x.end.Versions++
	return x.emit(auditlog.Line{Version: &v})
}

func (l *Log) exportCheckpoints(ctx context.Context, x *exporting) error {
	for after := int64(0); ; {
		notes, last, err := l.checkpointsAfter(ctx, after)
		if err != nil {
			return err
		}
		for _, signed := range notes {
			x.end.Checkpoints++
			if err := x.emit(auditlog.Line{Checkpoint: signed}); err != nil {
				return err
			}
		}
		if len(notes) < checkpointPage {
			return x.readLast(notes)
		}
		after = last
		if err := x.readLast(notes); err != nil {
			return err
		}
	}
}

const checkpointPage = 1000

func (l *Log) checkpointsAfter(ctx context.Context, after int64) (notes []string, last int64, err error) {
	rows, err := l.db.Query(ctx, `SELECT seq, note FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT $2`, after, int64(checkpointPage))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var signed string
		if err := rows.Scan(&last, &signed); err != nil {
			return nil, 0, err
		}
		notes = append(notes, signed)
	}
	return notes, last, rows.Err()
}

// readLast notes the newest checkpoint: what it covers is exported. One that
// cannot be read covers nothing that would be left out.
func (x *exporting) readLast(notes []string) error {
	if len(notes) == 0 {
		return nil
	}
	c, err := auditlog.ReadCheckpoint(notes[len(notes)-1])
	if err == nil {
		x.last = c
	}
	return nil
}

// row exports a row, unless it came after the checkpoint. Of a lane that does not
// lead to its head all is exported, for the verification to judge.
func (x *exporting) row(r auditlog.Row) error {
	if r.Lane > 0 && r.Index >= x.last.Head(r.Lane).Size && !x.broken[r.Lane] {
		return nil
	}
	x.end.Rows++
	if x.may.Row(&r) {
		return x.emit(auditlog.Line{Row: &r})
	}
	return x.emit(auditlog.Line{Leaf: &auditlog.Leaf{Lane: r.Lane, Index: r.Index, Leaf: r.Leaf}})
}
