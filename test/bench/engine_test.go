package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testWorld(project string) *world {
	w := &world{project: project}
	for i := range subjectCount {
		w.patients = append(w.patients, fmt.Sprintf("%s-%03d", project, i))
	}
	return w
}

// The bare queue leaves what an upload leaves: one record, identity and audit
// row each, and the newest values of three signs per subject.
func TestTheBareWriteIsWhole(t *testing.T) {
	t.Chdir("../..")
	path := filepath.Join(t.TempDir(), engineFile)
	e, err := openEngine(t.Context(), path, testWorld("bench-x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * subjectCount {
		if _, err := e.put(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := shapeOf(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got.records != 2*subjectCount || got.signs != 3*subjectCount || got.categories == 0 {
		t.Errorf("%d uploads left %+v", 2*subjectCount, got)
	}
	if err := got.same(got); err != nil {
		t.Error(err)
	}
}

func TestAnotherWriteIsNotTheSame(t *testing.T) {
	whole := shape{records: 9, ids: 9, creates: 9, signs: 3, categories: 2, content: 300}
	for want, change := range map[string]func(*shape){
		"identities":    func(s *shape) { s.ids-- },
		"audit rows":    func(s *shape) { s.creates = 0 },
		"newest values": func(s *shape) { s.signs = 6 },
		"tallies":       func(s *shape) { s.categories = 0 },
		"content":       func(s *shape) { s.content = 400 },
	} {
		other := whole
		change(&other)
		if err := whole.same(other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a difference in %s gives %v", want, err)
		}
	}
	other := whole
	other.content = 310
	if err := whole.same(other); err != nil {
		t.Error(err)
	}
}

func TestUploadsAreDistinctAndSpread(t *testing.T) {
	w := testWorld("bench-x")
	ids, patients := map[string]bool{}, map[string]bool{}
	for range 200 {
		u := w.next()
		ids[u.id], patients[u.patient] = true, true
		if time.Until(u.at) > 0 || u.systolic <= u.diastolic {
			t.Errorf("an upload that would be refused: %+v", u)
		}
	}
	if len(ids) != 200 || len(patients) != subjectCount {
		t.Errorf("200 uploads have %d ids and %d subjects", len(ids), len(patients))
	}
}
