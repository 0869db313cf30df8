package auditlog

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// laneCheck goes along one lane.
type laneCheck struct {
	*service
	number int64
	next   int64 // The place that the next record must have.
	tree   Tree
	lost   bool // Something is wrong: the tree says nothing any more.
	proven int64
	sealed []sealedAt

	missing  []gap
	shift    int64 // By how much the records here were moved, once that was found.
	last     *Row  // The record before, if it does not fit its leaf.
	searches int
}

// gap is a stretch of places without records, and where it is reported.
type gap struct {
	from, to int64
	finding  int
}

func newLaneCheck(s *service, number int64) *laneCheck {
	return &laneCheck{service: s, number: number, sealed: s.heads[number]}
}

func (l *laneCheck) place(index int64) string {
	return fmt.Sprintf("record %d of lane %d", index, l.number)
}

func (l *laneCheck) wrong(what Wrong, index int64, detail string) {
	l.lost = true
	l.found(what, l.place(index), detail)
}

func (l *laneCheck) hidden(h *Leaf) {
	if l.number < 1 {
		l.outside("")
		return
	}
	if l.at(h.Index) {
		l.append(h.Index, h.Leaf)
	}
}

func (l *laneCheck) row(r *Row) {
	if l.number < 1 {
		l.outside(fmt.Sprintf("%s %s by %q", r.Action, r.Kind, r.Actor))
		return
	}
	if !l.at(r.Index) {
		return
	}
	switch {
	case r.Hash().String() == r.Leaf:
		l.last = nil
	case l.shift != 0 && l.wasAt(r, r.Index-l.shift): // It moved with those before it.
	default:
		l.misfit(r)
	}
	l.append(r.Index, r.Leaf)
}

// outside reports records that have no place in the log.
func (l *laneCheck) outside(what string) {
	if l.next++; l.next == 1 {
		l.wrong(Inserted, 0, "it has no place in the log; "+what)
	}
}

// at says whether a record is the next one, and reports it if not.
func (l *laneCheck) at(index int64) bool {
	switch {
	case index == l.next:
	case index > l.next:
		l.wrong(Deleted, l.next, fmt.Sprintf("record %d follows record %d", index, l.next-1))
		l.missing = append(l.missing, gap{from: l.next, to: index, finding: len(l.report.Findings) - 1})
	default:
		l.lost = true
		for _, g := range l.missing {
			if index >= g.from && index < g.to { // It was not deleted: it stands elsewhere.
				f := &l.report.Findings[g.finding]
				f.Wrong, f.Detail = Reordered, fmt.Sprintf("record %d stands after record %d", index, l.next-1)
				return false
			}
		}
		l.wrong(Inserted, index, fmt.Sprintf("a second record with this number stands after record %d", l.next-1))
		return false
	}
	l.next = index + 1
	return true
}

// maxSearches bounds how often it is looked for where a record was before.
const maxSearches = 3

// misfit reports a record that does not fit its leaf.
func (l *laneCheck) misfit(r *Row) {
	edited := l.last
	l.last = r
	from, moved := int64(0), false
	if l.searches < maxSearches {
		l.searches++
		from, moved = l.search(r)
	}
	switch {
	case !moved:
		l.wrong(Edited, r.Index, "it is not what its leaf commits to")
	case from == r.Index-1:
		if l.shift = 1; edited != nil && edited.Index == from {
			f := &l.report.Findings[len(l.report.Findings)-1]
			f.Wrong, f.Detail = Inserted, "the record that had this number, and all after it, were moved up by one"
			return
		}
		l.wrong(Inserted, from, "the record that had this number, and all after it, were moved up by one")
	case from == r.Index+1:
		l.shift = -1
		l.wrong(Deleted, r.Index, "the records after it were moved down by one")
	default:
		l.wrong(Reordered, r.Index, fmt.Sprintf("what stands here was record %d", from))
	}
}

// search finds the place that a record's leaf says it had.
func (l *laneCheck) search(r *Row) (from int64, found bool) {
	size := r.Index + 2
	if n := len(l.sealed); n > 0 {
		size = max(size, l.sealed[n-1].size)
	}
	for _, near := range []int64{r.Index - 1, r.Index + 1} {
		if l.wasAt(r, near) {
			return near, true
		}
	}
	for from = range size {
		if l.wasAt(r, from) {
			return from, true
		}
	}
	return 0, false
}

func (l *laneCheck) wasAt(r *Row, index int64) bool {
	before := *r
	before.Index = index
	return before.Hash().String() == r.Leaf
}

// append adds the leaf, and holds the tree against the head that was signed here.
func (l *laneCheck) append(index int64, text string) {
	leaf, err := tlog.ParseHash(text)
	if err != nil {
		l.wrong(Edited, index, "its leaf is no hash")
		return
	}
	if l.lost {
		return
	}
	l.tree.Append(leaf)
	if len(l.sealed) == 0 || l.sealed[0].size != l.tree.Size() {
		return
	}
	sealed := l.sealed[0]
	l.sealed = l.sealed[1:]
	if l.tree.Root() == sealed.root {
		l.proven = sealed.size
		return
	}
	detail := fmt.Sprintf("its leaf is not the one that checkpoint %d signed", sealed.seq)
	if first, last := l.proven, sealed.size-1; first != last {
		detail = fmt.Sprintf("one of the records %d to %d was changed together with its leaf: together they are not what checkpoint %d signed", first, last, sealed.seq)
	}
	l.wrong(Edited, l.proven, detail)
}

func (l *laneCheck) conclude() {
	if l.number < 1 {
		return
	}
	signed := l.service.last.Head(l.number).Size
	switch {
	case l.next < signed:
		l.wrong(Truncated, l.next, fmt.Sprintf("checkpoint %d says %d records, and the last is %d", l.service.last.Seq, signed, l.next-1))
	case l.next > signed && !l.lost:
		l.wrong(Inserted, signed, fmt.Sprintf("checkpoint %d, the last, says %d records", l.service.last.Seq, signed))
	}
}
