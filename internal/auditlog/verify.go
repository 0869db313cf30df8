package auditlog

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Wrong is what can be wrong with a record, a checkpoint or a stored version.
type Wrong string

// What a verification finds.
const (
	Edited    Wrong = "edited"
	Deleted   Wrong = "deleted"
	Inserted  Wrong = "inserted"
	Reordered Wrong = "reordered"
	Truncated Wrong = "truncated"
	Forged    Wrong = "forged head"
	Unread    Wrong = "unreadable"
)

// Finding is one thing that is not as it was written.
type Finding struct {
	Wrong   Wrong
	Service string
	Where   string // "record 17 of lane 1", "checkpoint 4".
	Detail  string
}

func (f Finding) String() string {
	text := string(f.Wrong) + ": "
	if f.Service != "" {
		text += f.Service + ", "
	}
	text += f.Where
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	return text
}

// Outside is a checkpoint that was kept outside the database.
type Outside struct {
	Service, Note string
}

// Report is what a verification comes to.
type Report struct {
	Findings    []Finding // In the order of the export; empty: all is whole.
	Services    []string
	Records     int64
	Hidden      int64 // Of the records, those that the exporter might not read.
	Checkpoints int64
	Versions    int64
	Last        map[string]Checkpoint // The newest of each service.
}

// maxFindings bounds what one tampering that shifts all can list.
const maxFindings = 100

// Verify reads an export and holds all of it against the signatures, and against
// checkpoints that were kept outside. services must all be there.
func Verify(export io.Reader, keys note.Verifiers, services []string, outside []Outside) Report {
	v := &verification{keys: keys, outside: outside, report: Report{Last: map[string]Checkpoint{}}}
	if err := readLines(export, v.line); err != nil {
		v.find(Finding{Wrong: Unread, Where: "the export", Detail: err.Error()})
	}
	v.endService("")
	for _, s := range services {
		if !slices.Contains(v.report.Services, s) {
			v.find(Finding{Wrong: Deleted, Service: s, Where: "its whole log", Detail: "the export has none of it"})
		}
	}
	return v.report
}

type verification struct {
	keys    note.Verifiers
	outside []Outside
	report  Report
	log     *service // The one whose lines are read.
}

func (v *verification) find(f Finding) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, f)
	}
}

func (v *verification) line(n int64, line *Line) error {
	if n == 1 {
		if line.Header == nil || line.Header.Format != Format {
			return fmt.Errorf("the first line does not say %q: this is no audit export, or it was cut", Format)
		}
		return nil
	}
	if line.Service == "" || line.Header != nil {
		return fmt.Errorf("line %d names no service: it was edited", n)
	}
	if v.log == nil || v.log.name != line.Service {
		v.endService(line.Service)
	}
	switch {
	case line.Data != nil:
		v.log.data.Data = *line.Data
	case line.Checkpoint != "":
		v.log.checkpoint(line.Checkpoint)
	case line.Row != nil:
		v.log.row(line.Row)
	case line.Leaf != nil:
		v.log.hidden(line.Leaf)
	case line.Version != nil:
		v.log.version(line.Version)
	case line.End != nil:
		v.log.end = line.End
	default:
		return fmt.Errorf("line %d says nothing: it was edited", n)
	}
	return nil
}

// endService concludes the service whose lines were read, and begins the next.
func (v *verification) endService(next string) {
	if v.log != nil {
		v.log.conclude()
	}
	v.log = nil
	if next == "" {
		return
	}
	if slices.Contains(v.report.Services, next) {
		v.find(Finding{Wrong: Reordered, Service: next, Where: "its log", Detail: "its lines do not stand together"})
	}
	v.report.Services = append(v.report.Services, next)
	v.log = newService(v, next)
}

// service is the verification of one service's log.
type service struct {
	*verification
	name  string
	notes map[int64]string // Of each checkpoint, its note.
	last  Checkpoint
	heads map[int64][]sealedAt // Of each lane, by size.
	lane  *laneCheck
	seen  map[int64]bool // Lanes that were read.
	end   *End
	count End
	data  dataCheck
}

// sealedAt is a size that a checkpoint signed.
type sealedAt struct {
	size, seq int64
	root      tlog.Hash
}

func newService(v *verification, name string) *service {
	return &service{verification: v, name: name, notes: map[int64]string{}, heads: map[int64][]sealedAt{}, seen: map[int64]bool{}, data: newDataCheck()}
}

func (s *service) found(wrong Wrong, where, detail string) {
	s.find(Finding{Wrong: wrong, Service: s.name, Where: where, Detail: detail})
}

func (s *service) checkpoint(signed string) {
	s.count.Checkpoints++
	s.report.Checkpoints++
	where := fmt.Sprintf("checkpoint %d", s.last.Seq+1)
	c, err := OpenCheckpoint(signed, s.keys)
	if err != nil {
		if read, err := ReadCheckpoint(signed); err == nil {
			where = fmt.Sprintf("checkpoint %d", read.Seq)
			s.last.Seq, s.last.Previous = read.Seq, ""
			s.notes[read.Seq] = signed
		}
		s.found(Forged, where, "no key that was given has signed it, or it was changed after that")
		return
	}
	where = fmt.Sprintf("checkpoint %d", c.Seq)
	before, known := s.notes[c.Seq-1]
	switch {
	case c.Service != s.name:
		s.found(Forged, where, "it is of the service "+c.Service)
	case c.Seq <= s.last.Seq:
		s.found(Reordered, where, fmt.Sprintf("it follows checkpoint %d", s.last.Seq))
	case c.Seq > 1 && !known:
		s.found(Deleted, fmt.Sprintf("checkpoint %d", s.last.Seq+1), fmt.Sprintf("%s follows checkpoint %d", where, s.last.Seq))
	case c.Seq > 1 && c.Previous != NoteHash(before):
		s.found(Forged, where, "it does not follow from the checkpoint before")
	case c.Seq > 1 && s.last.Log != "" && c.Log != s.last.Log:
		s.found(Forged, where, "it is of another log")
	}
	s.notes[c.Seq] = signed
	s.data.covers(&c)
	s.compareHeads(where, &c)
	s.last = c
	s.report.Last[s.name] = c
}

// compareHeads holds a checkpoint's heads against those before: a lane only grows.
func (s *service) compareHeads(where string, c *Checkpoint) {
	for _, before := range s.last.Heads {
		now := c.Head(before.Lane)
		if now.Size < before.Size || now.Size == before.Size && now.Root != before.Root {
			s.found(Forged, where, fmt.Sprintf("lane %d had %d records before, and has %d", before.Lane, before.Size, now.Size))
		}
	}
	for _, h := range c.Heads {
		if sealed := s.heads[h.Lane]; len(sealed) == 0 || sealed[len(sealed)-1].size < h.Size {
			s.heads[h.Lane] = append(sealed, sealedAt{size: h.Size, seq: c.Seq, root: h.Root})
		}
	}
}

func (s *service) row(r *Row) {
	s.laneOf(r.Lane).row(r)
	if wrong, where, detail := s.data.row(r); wrong != "" {
		s.found(wrong, where, detail)
	}
}

func (s *service) hidden(l *Leaf) {
	s.report.Hidden++
	s.laneOf(l.Lane).hidden(l)
}

func (s *service) version(stored *Version) {
	s.count.Versions++
	s.report.Versions++
	s.data.version(stored)
}

// laneOf gives the check of a row's lane, and ends the one before.
func (s *service) laneOf(lane int64) *laneCheck {
	s.count.Rows++
	s.report.Records++
	if s.lane != nil && s.lane.number == lane {
		return s.lane
	}
	s.endLane()
	s.lane = newLaneCheck(s, lane)
	if s.seen[lane] {
		s.found(Reordered, fmt.Sprintf("lane %d", lane), "its records do not stand together")
	}
	s.seen[lane] = true
	return s.lane
}

func (s *service) endLane() {
	if s.lane != nil {
		s.lane.conclude()
		s.lane = nil
	}
}

func (s *service) conclude() {
	s.endLane()
	for _, h := range s.last.Heads {
		if h.Size > 0 && !s.seen[h.Lane] {
			s.found(Truncated, fmt.Sprintf("record 0 of lane %d", h.Lane),
				fmt.Sprintf("the whole lane is missing; checkpoint %d says %d records", s.last.Seq, h.Size))
		}
	}
	s.compareOutside()
	s.concludeEnd()
}

// concludeEnd holds the export against what it says of itself.
func (s *service) concludeEnd() {
	if where, found := s.data.rest(); found {
		s.found(Inserted, where, "it is stored, and no record of the log is about it")
	}
	switch {
	case s.last.Seq == 0 && s.count.Rows > 0:
		s.found(Deleted, "checkpoint 1", "there is no checkpoint, so nothing proves the records")
	case s.end == nil:
		s.found(Truncated, "its part of the export", "its last line is missing")
	case s.end.Checkpoints != s.count.Checkpoints || s.end.Rows != s.count.Rows || s.end.Versions != s.count.Versions:
		s.found(Edited, "its part of the export", fmt.Sprintf("it has %d checkpoints, %d records, %d versions and says %d, %d, %d",
			s.count.Checkpoints, s.count.Rows, s.count.Versions, s.end.Checkpoints, s.end.Rows, s.end.Versions))
	}
}

// compareOutside holds the log against the checkpoints that were kept outside.
func (s *service) compareOutside() {
	for _, o := range s.outside {
		if o.Service != s.name {
			continue
		}
		c, err := OpenCheckpoint(o.Note, s.keys)
		if err != nil || c.Service != s.name {
			s.found(Forged, "a checkpoint kept outside", "no key that was given has signed it, or it was changed after that")
			return
		}
		where := fmt.Sprintf("checkpoint %d", c.Seq)
		if have, known := s.notes[c.Seq]; known && c.Log == s.last.Log {
			if have != o.Note {
				s.found(Forged, where, "outside another one was kept under this number: the log was forked, or restored from a backup")
				return
			}
			continue
		}
		if c.Log != s.last.Log {
			s.found(Truncated, "log "+c.Log, fmt.Sprintf("%s, kept outside, is of this log, and the database has another: all its records are missing", where))
			return
		}
		s.beyond(where, &c)
		return
	}
}

// beyond reports the first record that a later checkpoint, kept outside, proves missing.
func (s *service) beyond(where string, c *Checkpoint) {
	for _, h := range c.Heads {
		if have := s.last.Head(h.Lane).Size; have < h.Size {
			s.found(Truncated, fmt.Sprintf("record %d of lane %d", have, h.Lane),
				fmt.Sprintf("%s, kept outside, says %d records, the log has %d", where, h.Size, have))
			return
		}
	}
	s.found(Deleted, where, "it was kept outside and is missing in the log")
}

// Text is the report for a person: the first finding, or that all is whole.
func (r *Report) Text() string {
	if len(r.Findings) > 0 {
		return r.Findings[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "whole: %d records (%d of them as hashes only), %d checkpoints, %d stored versions", r.Records, r.Hidden, r.Checkpoints, r.Versions)
	for _, name := range r.Services {
		c := r.Last[name]
		fmt.Fprintf(&b, "\n%s: checkpoint %d of %s", name, c.Seq, c.At.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return b.String()
}
