package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"clinsource/internal/sqldb"
)

// files are the checkpoints outside the database: a file a day and service, one
// JSON object a line, appended to and synced.
type files struct {
	dir, service string
	log          string // Whose checkpoints have been looked for in the folder.
	last         int64  // The last that lies there.
}

// fileLine is one line of such a file.
type fileLine struct {
	Service string `json:"service"`
	Log     string `json:"log"`
	Seq     int64  `json:"seq"`
	Note    string `json:"note"`
}

// catchUp writes the checkpoints that the folder lacks: those of other replicas
// too, and those made while the folder was away.
func (f *files) catchUp(ctx context.Context, db *sqldb.DB) error {
	for {
		lines, at, err := f.missing(ctx, db)
		if err != nil || len(lines) == 0 {
			return err
		}
		if f.log != lines[0].Log { // The first time: what is there already?
			if err := f.look(ctx, db, lines[0].Log); err != nil {
				return err
			}
			continue
		}
		if err := f.append(lines, at); err != nil {
			return err
		}
		f.last = lines[len(lines)-1].Seq
	}
}

// missing reads checkpoints of one day from the database.
func (f *files) missing(ctx context.Context, db *sqldb.DB) (lines []fileLine, day time.Time, err error) {
	rows, err := db.Query(ctx, `SELECT seq, at_us, log, note FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT 1000`, f.last)
	if err != nil {
		return nil, day, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		line := fileLine{Service: f.service}
		if err := rows.Scan(&line.Seq, &at, &line.Log, &line.Note); err != nil {
			return nil, day, err
		}
		of := time.UnixMicro(at).UTC().Truncate(24 * time.Hour)
		if len(lines) > 0 && of != day {
			break
		}
		lines, day = append(lines, line), of
	}
	return lines, day, rows.Err()
}

// look finds the newest checkpoint of a log that both the folder and the database
// have. After a restore the folder has later ones: those made from now on are
// written beside them, and a verification shows the fork.
func (f *files) look(ctx context.Context, db *sqldb.DB, log string) error {
	if err := os.MkdirAll(f.dir, 0o750); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(f.dir, f.service+"-*.jsonl"))
	if err != nil {
		return err
	}
	f.log, f.last = log, 0
	for _, name := range names {
		if err := f.lookInto(name); err != nil {
			return err
		}
	}
	var newest int64
	if err := db.QueryRow(ctx, `SELECT COALESCE(MAX(seq), 0) FROM audit_checkpoints`).Scan(&newest); err != nil {
		return err
	}
	f.last = min(f.last, newest)
	return nil
}

func (f *files) lookInto(name string) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line fileLine
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Log == f.log { // A torn last line is written again.
			f.last = max(f.last, line.Seq)
		}
	}
	return lines.Err()
}

func (f *files) append(lines []fileLine, day time.Time) (err error) {
	name := filepath.Join(f.dir, f.service+"-"+day.Format("20060102")+".jsonl")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var text []byte
	if info, err := file.Stat(); err == nil && info.Size() > 0 {
		end := make([]byte, 1)
		if _, err := file.ReadAt(end, info.Size()-1); err == nil && end[0] != '\n' {
			text = append(text, '\n') // After a line that a crash tore.
		}
	}
	for _, line := range lines {
		data, err := json.Marshal(line)
		if err != nil {
			return err
		}
		text = append(append(text, data...), '\n')
	}
	if _, err := file.Write(text); err != nil {
		return err
	}
	return file.Sync()
}
