package records_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	"clinsource/internal/records"
)

// TestOrderIsStableOverEqualTimes: newest first, no record twice, none left out,
// whatever the page size, though most have the same time.
func TestOrderIsStableOverEqualTimes(t *testing.T) {
	each(t, func(f *fixture) {
		for i := range 60 {
			d := draft(fmt.Sprint("c-", i), fmt.Sprint(i))
			d.At = noon.Add(time.Duration(i/20) * time.Microsecond)
			f.put(d)
		}
		whole := f.ids(everything, "", 1000)
		if len(whole) != 60 {
			f.Fatalf("%d records are listed", len(whole))
		}
		for _, size := range []int32{1, 7, 20, 59, 60} {
			if got := f.ids(everything, "", size); !slices.Equal(got, whole) {
				f.Errorf("by pages of %d the order is another", size)
			}
		}
		list := f.list(everything)
		if !slices.IsSortedFunc(list, func(a, b *records.Record) int { return b.At.Compare(a.At) }) {
			f.Error("the newest does not come first")
		}
	})
}

func TestARecordBetweenPagesMovesNothing(t *testing.T) {
	each(t, func(f *fixture) {
		for i := range 4 {
			d := draft(fmt.Sprint("c-", i), fmt.Sprint(i))
			d.At = noon.Add(time.Duration(i) * time.Hour)
			f.put(d)
		}
		first, err := page.Parse(2, "", "test")
		if err != nil {
			f.Fatal(err)
		}
		one, next, err := f.store.List(f.ctx, everything, records.Wanted{}, first)
		if err != nil {
			f.Fatal(err)
		}
		late := draft("late", "late")
		late.At = noon.AddDate(0, 0, 1)
		f.put(late)
		second, err := page.Parse(2, next, "test")
		if err != nil {
			f.Fatal(err)
		}
		two, next, err := f.store.List(f.ctx, everything, records.Wanted{}, second)
		if err != nil || next != "" || len(one) != 2 || len(two) != 2 || one[1].At.Sub(two[0].At) != time.Hour {
			f.Errorf("the pages are %d and %d records, next %q, %v", len(one), len(two), next, err)
		}
	})
}

// sown fills a store with two sites and two projects, one record a patient but
// two of x.
func sown(f *fixture) {
	for i, place := range [][3]string{
		{"p", "s1", "x"}, {"p", "s1", "x"}, {"p", "s1", "y"}, {"p", "s2", "z"}, {"q", "s1", "x"},
	} {
		d := of(draft("", fmt.Sprint(i)), place[0], place[1], place[2])
		d.Tallies = map[string]int64{"bytes": 10}
		if i == 0 {
			d.Findings = append(d.Findings, query("q"))
		}
		d.At = noon.Add(time.Duration(i) * time.Hour)
		f.put(d)
	}
}

func TestScopesFilterListsAndCounts(t *testing.T) {
	sites := func(sites ...string) auth.Scope { return auth.Scope{Project: "p", Sites: sites} }
	own := auth.Scope{Project: "p", AllSites: true, Patient: "x"}
	cases := map[string]struct {
		scope                      auth.Scope
		patient                    string
		records, subjects, queried int64
	}{
		"all sites":               {everything, "", 4, 3, 1},
		"all sites, one patient":  {everything, "x", 2, 1, 1},
		"all sites, a stranger":   {everything, "w", 0, 0, 0},
		"one site":                {sites("s1"), "", 3, 2, 1},
		"the other site":          {sites("s2"), "", 1, 1, 0},
		"both sites":              {sites("s1", "s2"), "", 4, 3, 1},
		"a site named twice":      {sites("s1", "s1"), "", 3, 2, 1},
		"one site, patient there": {sites("s2"), "z", 1, 1, 0},
		"one site, patient not":   {sites("s2"), "x", 0, 0, 0},
		"no site":                 {sites(), "", 0, 0, 0},
		"own":                     {own, "", 2, 1, 1},
		"own, by name":            {own, "x", 2, 1, 1},
		"another project":         {auth.Scope{Project: "q", AllSites: true}, "", 1, 1, 0},
		"no such project":         {auth.Scope{Project: "", AllSites: true}, "", 0, 0, 0},
		"a site like SQL":         {sites("s1') OR 1=1 --"), "", 0, 0, 0},
	}
	each(t, func(f *fixture) {
		sown(f)
		for name, c := range cases {
			if got := len(f.ids(c.scope, c.patient, 1)); int64(got) != c.records {
				f.Errorf("%s: %d records are listed, want %d", name, got, c.records)
			}
			sum := f.summary(c.scope, c.patient)
			if sum.Records != c.records || sum.Subjects != c.subjects || sum.Queried != c.queried || sum.Tallies["bytes"] != 10*c.records {
				f.Errorf("%s: the summary is %+v, want %+v", name, sum, c)
			}
			if sum.Newest.IsZero() != (c.records == 0) {
				f.Errorf("%s: the newest of %d is %v", name, c.records, sum.Newest)
			}
		}
		if sum := f.summary(everything, ""); !sum.Newest.Equal(noon.Add(3 * time.Hour)) {
			f.Errorf("the newest is %v", sum.Newest)
		}
	})
}

// TestAnotherPatientIsUnseen: a scope of one patient neither shows another nor
// passes its own off as the other's.
func TestAnotherPatientIsUnseen(t *testing.T) {
	each(t, func(f *fixture) {
		sown(f)
		own := auth.Scope{Project: "p", AllSites: true, Patient: "x"}
		first, err := page.Parse(10, "", "test")
		if err != nil {
			f.Fatal(err)
		}
		for _, patient := range []string{"y", "w"} {
			list, _, err := f.store.List(f.ctx, own, records.Wanted{Patient: patient}, first)
			isFault(f.T, err, codes.NotFound, fault.ReasonSubjectNotFound)
			_, err = f.store.Summarize(f.ctx, own, patient)
			isFault(f.T, err, codes.NotFound, fault.ReasonSubjectNotFound)
			if len(list) != 0 {
				f.Errorf("%d records of %s are shown", len(list), patient)
			}
		}
	})
}

func TestFindOfNothing(t *testing.T) {
	each(t, func(f *fixture) {
		for _, id := range []string{"", "none", "' OR 1=1 --"} {
			r, err := f.store.Find(f.ctx, id)
			isFault(f.T, err, codes.NotFound, fault.ReasonRecordNotFound)
			if r != nil {
				f.Errorf("%q finds %+v", id, r)
			}
		}
	})
}

// TestLargeRecordsMakeShortPages: an answer stays below what a client takes, and
// no record is lost between the pages.
func TestLargeRecordsMakeShortPages(t *testing.T) {
	each(t, func(f *fixture) {
		for i := range 6 {
			size := 900 << 10
			if i == 2 {
				size = 3 << 20 // Alone more than a page.
			}
			f.put(draft(fmt.Sprint("c-", i), fmt.Sprint(i)+strings.Repeat("x", size)))
		}
		ids := f.ids(everything, "", 1000)
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 6 {
			f.Errorf("%d records are listed", len(ids))
		}
		if n := len(f.list(everything)); n > 3 {
			f.Errorf("the first page has %d records", n)
		}
	})
}
