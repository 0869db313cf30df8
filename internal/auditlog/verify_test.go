package auditlog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"clinsource/internal/auditlog"
)

// exported is an export that a test can tamper with.
type exported struct {
	lines   []auditlog.Line
	signer  note.Signer
	keys    note.Verifiers
	outside []auditlog.Outside
}

const sealEvery = 37

// export makes a whole one: two lanes of one service, a checkpoint every so often.
func export(t testing.TB, perLane int64) *exported {
	t.Helper()
	e := &exported{}
	e.signer, e.keys = keyPair(t)
	var rows []auditlog.Line
	trees := map[int64]*auditlog.Tree{1: {}, 2: {}}
	c := auditlog.Checkpoint{Service: "vitals", Log: "L"}
	for i := range perLane {
		for lane := int64(1); lane <= 2; lane++ {
			r := rowOf(lane, i)
			trees[lane].Append(r.Hash())
			rows = append(rows, auditlog.Line{Service: "vitals", Row: r})
		}
		if i%sealEvery == 0 || i == perLane-1 {
			c.Seq++
			c.At = time.UnixMicro(i)
			c.Heads = []auditlog.Head{{Lane: 1, Size: i + 1, Root: trees[1].Root()}, {Lane: 2, Size: i + 1, Root: trees[2].Root()}}
			signed, err := c.Sign(e.signer)
			if err != nil {
				t.Fatal(err)
			}
			c.Previous = auditlog.NoteHash(signed)
			e.lines = append(e.lines, auditlog.Line{Service: "vitals", Checkpoint: signed})
			e.outside = append(e.outside, auditlog.Outside{Service: "vitals", Note: signed})
		}
	}
	slices.SortStableFunc(rows, func(a, b auditlog.Line) int { return int(a.Row.Lane - b.Row.Lane) })
	end := &auditlog.End{Checkpoints: c.Seq, Rows: 2 * perLane}
	e.lines = slices.Concat([]auditlog.Line{{Header: &auditlog.Header{Format: auditlog.Format, Services: []string{"vitals"}}}}, e.lines, rows,
		[]auditlog.Line{{Service: "vitals", End: end}})
	return e
}

func keyPair(t testing.TB) (note.Signer, note.Verifiers) {
	t.Helper()
	private, public, err := auditlog.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auditlog.Keys("# the auditor's list\n" + public + "\n" + public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, keys
}

func rowOf(lane, index int64) *auditlog.Row {
	r := &auditlog.Row{Lane: lane, Index: index, At: 1e15 + index, Actor: "nurse", Role: "coordinator", Peer: "project-api", RequestID: fmt.Sprint("r", index),
		Method: "/vitals.VitalsService/UploadVitals", Action: "create", Kind: "vitals", Project: "p", Site: "s", Patient: "x", Record: fmt.Sprint(lane, "-", index),
		Version: 1, Salt: auditlog.NewSalt()}
	r.Leaf = r.Hash().String()
	return r
}

// first gives the place of the first row of a lane in the lines.
func (e *exported) first(lane int64) int {
	return slices.IndexFunc(e.lines, func(l auditlog.Line) bool { return l.Row != nil && l.Row.Lane == lane })
}

// count makes the end line true again, as a careful forger would.
func (e *exported) count() {
	end := e.lines[len(e.lines)-1].End
	*end = auditlog.End{}
	for _, l := range e.lines {
		switch {
		case l.Checkpoint != "":
			end.Checkpoints++
		case l.Row != nil || l.Leaf != nil:
			end.Rows++
		}
	}
}

func (e *exported) verify(t testing.TB, outside ...auditlog.Outside) auditlog.Report {
	t.Helper()
	var file bytes.Buffer
	for _, l := range e.lines {
		if err := json.NewEncoder(&file).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return auditlog.Verify(&file, e.keys, []string{"vitals"}, outside)
}

func TestWhatIsWholeIsFoundWhole(t *testing.T) {
	e := export(t, 700)
	if r := e.verify(t, e.outside...); len(r.Findings) > 0 || r.Records != 1400 || !strings.HasPrefix(r.Text(), "whole: 1400 records") {
		t.Errorf("%s; %v", r.Text(), r.Findings)
	}
	begin := e.first(1)
	for i := begin; i < begin+100; i++ { // What an exporter may not read is verified as leaves.
		r := e.lines[i].Row
		e.lines[i] = auditlog.Line{Service: "vitals", Leaf: &auditlog.Leaf{Lane: r.Lane, Index: r.Index, Leaf: r.Leaf}}
	}
	if r := e.verify(t); len(r.Findings) > 0 || r.Hidden != 100 {
		t.Errorf("with hidden rows: %v", r.Findings)
	}
}

// Shows R07.
func TestEachTamperingIsNamed(t *testing.T) {
	const perLane = 700
	at := func() int64 { return 1 + rand.Int64N(perLane-3) }
	reseal := func(r *auditlog.Row) { r.Leaf = r.Hash().String() }
	cases := map[string]func(e *exported, i int64, row int) (want string){
		"edited": func(e *exported, i int64, row int) string {
			e.lines[row].Row.Actor = "nobody"
			return fmt.Sprintf("edited: vitals, record %d of lane 2", i)
		},
		"another time": func(e *exported, i int64, row int) string {
			e.lines[row].Row.At++
			return fmt.Sprintf("edited: vitals, record %d of lane 2", i)
		},
		"leaf edited": func(e *exported, i int64, row int) string {
			e.lines[row].Row.Leaf = rowOf(2, i).Leaf
			return fmt.Sprintf("edited: vitals, record %d of lane 2", i)
		},
		"edited with its leaf": func(e *exported, i int64, row int) string {
			e.lines[row].Row.Patient = "y"
			reseal(e.lines[row].Row)
			from := (i-1)/sealEvery*sealEvery + 1
			return fmt.Sprintf("edited: vitals, record %d of lane 2: one of the records %d to ", from, from)
		},
		"deleted": func(e *exported, i int64, row int) string {
			e.lines = slices.Delete(e.lines, row, row+1)
			e.count()
			return fmt.Sprintf("deleted: vitals, record %d of lane 2", i)
		},
		"deleted, the rest moved down": func(e *exported, i int64, row int) string {
			e.lines = slices.Delete(e.lines, row, row+1)
			for _, l := range e.lines[row : len(e.lines)-1] {
				l.Row.Index--
			}
			e.count()
			return fmt.Sprintf("deleted: vitals, record %d of lane 2", i)
		},
		"doubled": func(e *exported, i int64, row int) string {
			e.lines = slices.Insert(e.lines, row, e.lines[row])
			e.count()
			return fmt.Sprintf("inserted: vitals, record %d of lane 2", i)
		},
		"inserted, the rest moved up": func(e *exported, i int64, row int) string {
			for _, l := range e.lines[row : len(e.lines)-1] {
				l.Row.Index++
			}
			e.lines = slices.Insert(e.lines, row, auditlog.Line{Service: "vitals", Row: rowOf(2, i)})
			e.count()
			return fmt.Sprintf("inserted: vitals, record %d of lane 2", i)
		},
		"inserted with a copied leaf": func(e *exported, i int64, row int) string {
			more := *e.lines[row].Row
			for _, l := range e.lines[row : len(e.lines)-1] {
				l.Row.Index++
			}
			more.Actor = "nobody"
			e.lines = slices.Insert(e.lines, row, auditlog.Line{Service: "vitals", Row: &more})
			e.count()
			return fmt.Sprintf("inserted: vitals, record %d of lane 2", i)
		},
		"inserted at the end": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Insert(e.lines, len(e.lines)-1, auditlog.Line{Service: "vitals", Row: rowOf(2, perLane)})
			e.count()
			return fmt.Sprintf("inserted: vitals, record %d of lane 2", perLane)
		},
		"inserted outside all lanes": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Insert(e.lines, e.first(1), auditlog.Line{Service: "vitals", Row: &auditlog.Row{Action: "read"}})
			e.count()
			return "inserted: vitals, record 0 of lane 0"
		},
		"places swapped": func(e *exported, i int64, row int) string {
			a, b := e.lines[row].Row, e.lines[e.first(2)+perLane-1].Row
			a.Index, b.Index = b.Index, a.Index
			e.lines[row].Row, e.lines[e.first(2)+perLane-1].Row = b, a
			if i == perLane-2 {
				return fmt.Sprintf("deleted: vitals, record %d of lane 2", i)
			}
			return fmt.Sprintf("reordered: vitals, record %d of lane 2: what stands here was record %d", i, perLane-1)
		},
		"lines swapped": func(e *exported, i int64, row int) string {
			e.lines[row], e.lines[row+1] = e.lines[row+1], e.lines[row]
			return fmt.Sprintf("reordered: vitals, record %d of lane 2", i)
		},
		"truncated": func(e *exported, i int64, row int) string {
			e.lines = slices.Delete(e.lines, row, len(e.lines)-1)
			e.count()
			return fmt.Sprintf("truncated: vitals, record %d of lane 2", i)
		},
		"a lane dropped": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Delete(e.lines, e.first(2), len(e.lines)-1)
			e.count()
			return "truncated: vitals, record 0 of lane 2: the whole lane"
		},
		"all records dropped": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Delete(e.lines, e.first(1), len(e.lines)-1)
			e.count()
			return "truncated: vitals, record 0 of lane 1"
		},
		"the service dropped": func(e *exported, _ int64, _ int) string {
			e.lines = e.lines[:1]
			return "deleted: vitals, its whole log"
		},
		"the file cut": func(e *exported, _ int64, row int) string {
			e.lines = e.lines[:row]
			return "truncated: vitals, record "
		},
		"head signed by another": func(e *exported, _ int64, _ int) string {
			c, _ := auditlog.OpenCheckpoint(e.lines[3].Checkpoint, e.keys)
			other, _ := keyPair(t)
			e.lines[3].Checkpoint, _ = c.Sign(other)
			return "forged head: vitals, checkpoint 3"
		},
		"head edited": func(e *exported, _ int64, _ int) string {
			e.lines[5].Checkpoint = strings.Replace(e.lines[5].Checkpoint, "lane 1 ", "lane 1 1", 1)
			return "forged head: vitals, checkpoint 5"
		},
		"checkpoint deleted": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Delete(e.lines, 4, 5)
			e.count()
			return "deleted: vitals, checkpoint 4"
		},
		"all checkpoints deleted": func(e *exported, _ int64, _ int) string {
			e.lines = slices.Delete(e.lines, 1, e.first(1))
			e.count()
			return "inserted: vitals, record 0 of lane 1: checkpoint 0"
		},
	}
	for name, tamper := range cases {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				e, i := export(t, perLane), at()
				want := tamper(e, i, e.first(2)+int(i))
				if r := e.verify(t); !strings.HasPrefix(r.Text(), want) {
					t.Errorf("it says %q, want %q", r.Text(), want)
				}
			}
		})
	}
}

// Shows R07.
func TestWhatOutsideCheckpointsProveMissing(t *testing.T) {
	e := export(t, 700)
	whole := e.outside
	// A forger who has cut the newest records and the checkpoints over them.
	e = &exported{lines: slices.Clone(e.lines), keys: e.keys, signer: e.signer}
	last := 10
	c, err := auditlog.OpenCheckpoint(e.lines[last].Checkpoint, e.keys)
	if err != nil {
		t.Fatal(err)
	}
	e.lines = slices.DeleteFunc(e.lines, func(l auditlog.Line) bool { return l.Row != nil && l.Row.Index >= c.Heads[0].Size })
	e.lines = slices.Delete(e.lines, last+1, e.first(1))
	e.count()
	if r := e.verify(t); len(r.Findings) > 0 {
		t.Fatalf("without the checkpoints outside it looks whole; found: %v", r.Findings)
	}
	want := fmt.Sprintf("truncated: vitals, record %d of lane 1: checkpoint %d, kept outside", c.Heads[0].Size, last+1)
	if r := e.verify(t, whole...); !strings.HasPrefix(r.Text(), want) {
		t.Errorf("it says %q, want %q", r.Text(), want)
	}
	fork := export(t, 50)
	if r := e.verify(t, fork.outside...); len(r.Findings) == 0 || r.Findings[0].Wrong != auditlog.Forged {
		t.Errorf("a checkpoint that others signed: %v", r.Findings)
	}
}

// Shows R07.
func TestStoredVersionsAreHeldAgainstTheLog(t *testing.T) {
	for want, change := range map[string]func(v *auditlog.Version) *auditlog.Version{
		"whole": func(v *auditlog.Version) *auditlog.Version { return v },
		"edited: vitals, version 1 of vitals record r": func(v *auditlog.Version) *auditlog.Version {
			v.Digest = "other"
			return v
		},
		"deleted: vitals, version 1 of vitals record r":   func(*auditlog.Version) *auditlog.Version { return nil },
		"deleted: vitals, version 1 of vitals record r: ": func(v *auditlog.Version) *auditlog.Version { v.Version = 2; return v },
	} {
		e := &exported{}
		e.signer, e.keys = keyPair(t)
		r := rowOf(1, 0)
		r.Record, r.Digest = "r", "d"
		r.Leaf = r.Hash().String()
		c := auditlog.Checkpoint{Service: "vitals", Log: "L", Seq: 1, Heads: []auditlog.Head{{Lane: 1, Size: 1, Root: r.Hash()}}}
		signed, err := c.Sign(e.signer)
		if err != nil {
			t.Fatal(err)
		}
		end := &auditlog.End{Checkpoints: 1, Rows: 1}
		e.lines = []auditlog.Line{{Header: &auditlog.Header{Format: auditlog.Format}},
			{Service: "vitals", Data: &auditlog.Data{Kinds: []string{"vitals"}, Projects: []string{"p"}, Checkpoint: 1}}}
		if v := change(&auditlog.Version{Kind: r.Kind, Project: r.Project, Record: r.Record, Version: r.Version, Digest: r.Digest}); v != nil {
			e.lines = append(e.lines, auditlog.Line{Service: "vitals", Version: v})
			end.Versions = 1
		}
		e.lines = append(e.lines, auditlog.Line{Service: "vitals", Checkpoint: signed}, auditlog.Line{Service: "vitals", Row: r}, auditlog.Line{Service: "vitals", End: end})
		if report := e.verify(t); !strings.HasPrefix(report.Text(), want) {
			t.Errorf("it says %q, want %q", report.Text(), want)
		}
	}
}

// TestTheTreeIsTlogs holds our growing tree against the library's.
func TestTheTreeIsTlogs(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, i := range indexes {
			hashes = append(hashes, stored[i])
		}
		return hashes, nil
	})
	type node struct{ level, n int64 }
	subtrees := map[node]tlog.Hash{}
	tree := auditlog.Tree{Complete: func(level, n int64, root tlog.Hash) { subtrees[node{level, n}] = root }}
	const size = 1<<16 + 300
	for i := range int64(size) {
		data := fmt.Append(nil, i)
		hashes, err := tlog.StoredHashes(i, data, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		tree.Append(tlog.RecordHash(data))
		if i%997 == 0 || i == size-1 {
			want, err := tlog.TreeHash(i+1, reader)
			if err != nil || tree.Root() != want || tree.Size() != i+1 {
				t.Fatalf("at %d: %v, %v", i, tree.Root(), err)
			}
		}
	}
	if len(subtrees) != size>>8+1 {
		t.Errorf("%d subtrees", len(subtrees))
	}
	var again auditlog.Tree
	again.AppendSubtree(2, subtrees[node{2, 0}])
	again.AppendSubtree(1, subtrees[node{1, 256}])
	for i := int64(1<<16 + 256); i < size; i++ {
		again.Append(tlog.RecordHash(fmt.Append(nil, i)))
	}
	if again.Root() != tree.Root() {
		t.Error("a tree made of subtrees has another root")
	}
}
