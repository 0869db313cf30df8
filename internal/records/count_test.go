package records_test

import (
	"fmt"
	"sync"
	"testing"
)

// TestCountsUnderConcurrency: the counts are those of the rows, however the
// writers met.
func TestCountsUnderConcurrency(t *testing.T) {
	each(t, func(f *fixture) {
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				patient := fmt.Sprint("x-", i%10)
				d := of(draft(fmt.Sprint("c-", i%150), fmt.Sprint(i%150)), "p", fmt.Sprint("s", i%10%2), patient) // 50 come twice.
				d.Tallies = map[string]int64{"a": 1, "b": 2, "c": 3}
				if i%150%3 == 0 {
					d.Findings = append(d.Findings, query("q"))
				}
				if _, _, err := f.store.Put(f.ctx, d); err != nil {
					f.Error(err)
				}
			})
		}
		all.Wait()
		sum := f.summary(everything, "")
		if sum.Records != 150 || sum.Subjects != 10 || sum.Queried != 50 || sum.Tallies["a"] != 150 || sum.Tallies["b"] != 300 || sum.Tallies["c"] != 450 {
			f.Errorf("the project's summary is %+v", sum)
		}
		if sum := f.summary(everything, "x-3"); sum.Records != 15 || sum.Subjects != 1 || sum.Tallies["c"] != 45 {
			f.Errorf("a patient's summary is %+v", sum)
		}
		if sum := f.summary(everything, "x-4"); sum.Records != f.number(`SELECT COUNT(*) FROM records WHERE patient_id = 'x-4'`) {
			f.Errorf("a patient's summary is %+v, the rows are others", sum)
		}
	})
}
