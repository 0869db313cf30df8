package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A transfer of ten thousand records of which a hundred are bad reconciles: each
// is stored or refused, by name; what is listed afterwards is, by count and by
// hash, what was sent less what was refused, and sending it all again changes
// nothing.
// Shows R35.
func TestTransferReconciles(t *testing.T) {
	const batches, size, bad = 10, 1000, 100
	w := newWorld(t)
	_, path := w.subject(t, "s1")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	isBad := map[int]bool{}
	for len(isBad) < bad {
		isBad[random.IntN(batches*size)] = true
	}
	var sent, refused []string
	send := func(want int) (stored []string) {
		refused = nil
		for b := range batches {
			var records []object
			for i := b * size; i < (b+1)*size; i++ {
				rate := fmt.Sprintf("%d.%02d", 50+i%70, i%100)
				if isBad[i] {
					rate = "700"
				}
				records = append(records, object{"client_record_id": fmt.Sprintf("r-%05d", i),
					"measurement_time": fmt.Sprintf("2026-03-%02dT%02d:%02d:00Z", 1+i%28, i%24, i%60), "heart_rate": object{"beats_per_minute": json.Number(rate)}})
				sent = append(sent, fmt.Sprintf("r-%05d %s", i, rate))
			}
			results := w.admin.post(t, path+"/vitals:batch", object{"records": records}).want(t, 200)["results"].([]any)
			if len(results) != size {
				t.Fatalf("%d results for %d records", len(results), size)
			}
			for i, r := range results {
				name := sent[len(sent)-size+i]
				switch status := fmt.Sprint(r.(object)["status"]); status {
				case fmt.Sprint(want):
					stored = append(stored, name)
				case "400":
					refused = append(refused, name)
				default:
					t.Fatalf("%s: status %s", name, status)
				}
			}
		}
		return stored
	}
	stored := send(201)
	if len(stored)+len(refused) != batches*size || len(refused) != bad {
		t.Errorf("%d stored and %d refused of %d", len(stored), len(refused), batches*size)
	}
	if again := send(200); hashOf(again) != hashOf(stored) {
		t.Errorf("sent again, %d are there already, want %d", len(again), len(stored))
	}
	var listed []string
	for _, r := range pages(t, w.admin, path+"/vitals", "records", size) {
		listed = append(listed, fmt.Sprintf("%s %s", r["client_record_id"], r["heart_rate"].(object)["beats_per_minute_entered"]))
	}
	if len(listed) != len(stored) || hashOf(listed) != hashOf(stored) {
		t.Errorf("%d are listed, %d were stored, or others", len(listed), len(stored))
	}
}

// hashOf gives one hash for a set.
func hashOf(set []string) string {
	h := sha256.New()
	for _, one := range slices.Sorted(slices.Values(set)) {
		fmt.Fprintln(h, one)
	}
	return hex.EncodeToString(h.Sum(nil))
}
