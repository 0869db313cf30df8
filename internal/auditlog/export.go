package auditlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Format is the first line's mark of an export.
const Format = "clinsource audit export 1"

// Line is one line of an export, a JSON object of which one field is there: first
// the header; then for each service the versions that are stored, its checkpoints, its
// rows by lane and place (those that the exporter may not read as leaves), and an
// end that counts them.
type Line struct {
	Header     *Header  `json:"header,omitempty"`
	Service    string   `json:"service,omitempty"`
	Data       *Data    `json:"data,omitempty"`
	Version    *Version `json:"version,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"` // A signed note.
	Row        *Row     `json:"row,omitempty"`
	Leaf       *Leaf    `json:"leaf,omitempty"`
	End        *End     `json:"end,omitempty"`
}

// Header says what the file is.
type Header struct {
	Format   string   `json:"format"`
	Services []string `json:"services"` // Whose logs follow.
}

// Leaf is a row that the exporter may not read.
type Leaf struct {
	Lane  int64  `json:"lane"`
	Index int64  `json:"idx"`
	Leaf  string `json:"leaf"`
}

// Version is what lies in the database beside the log: a stored version and the
// digest of it as it is now.
type Version struct {
	Kind    string `json:"kind"`
	Project string `json:"project_id"`
	Record  string `json:"record_id"`
	Version int64  `json:"version"`
	Digest  string `json:"digest"`
}

// Data says what of the database stands beside the log.
type Data struct {
	// Of these kinds and projects all versions follow, as they were after this
	// checkpoint was made and before the last one was.
	Kinds      []string `json:"kinds"`
	Projects   []string `json:"projects"`
	Checkpoint int64    `json:"checkpoint"`
}

// End counts what a service's part of the export holds.
type End struct {
	Checkpoints int64 `json:"checkpoints"`
	Rows        int64 `json:"rows"`
	Versions    int64 `json:"versions"`
}

// maxLine bounds a line, above what the longest row or checkpoint can be.
const maxLine = 4 << 20

// readLines gives each line of an export with its number, from 1.
func readLines(r io.Reader, each func(n int64, line *Line) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := int64(0)
	for lines.Scan() {
		n++
		line := &Line{}
		if err := json.Unmarshal(lines.Bytes(), line); err != nil {
			return fmt.Errorf("line %d is not a line of an audit export: it was cut or edited", n)
		}
		if err := each(n, line); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is not a line of an audit export: it is too long", n+1)
	}
	return lines.Err()
}
