package faults

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// load is callers at work: they write vital signs under ids of their own, list
// what they wrote, and look at the project.
type load struct {
	w       *world
	name    string // Of the load, begins its ids.
	begun   time.Time
	stop    chan struct{}
	wg      sync.WaitGroup
	next    atomic.Int64
	resend  bool // Send a tenth of the writes a second time.
	noViews bool

	mu      sync.Mutex
	samples []sample
	ops     map[string][]porcupine.Operation // By client_record_id.
	where   map[string]string                // Its patient.
}

// sample is one request, with all its tries.
type sample struct {
	kind     string
	at, took time.Duration // Since the load began.
	tries    int
	ok       bool
	blunt    int
	trouble  string
}

func startLoad(w *world, callers int, change ...func(*load)) *load {
	l := &load{w: w, name: strings.ToLower(rand.Text()[:8]), begun: time.Now(), stop: make(chan struct{}), resend: true, ops: map[string][]porcupine.Operation{}, where: map[string]string{}}
	for _, c := range change {
		c(l)
	}
	for i := range callers {
		l.wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-l.stop:
					return
				default:
					l.request(n)
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

func (l *load) request(n int) {
	switch patient := l.w.patients[n%len(l.w.patients)]; {
	case n%4 < 2:
		l.write(patient, fmt.Sprintf("%s-%d", l.name, l.next.Add(1)))
	case n%4 == 2 || l.noViews:
		l.list(patient)
	default:
		l.note("view", l.w.send(http.MethodGet, l.w.path+"?require=subjects,vitals,images,reports,medications", nil))
	}
}

func (l *load) note(kind string, r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, sample{
		kind: kind, at: time.Since(l.begun) - r.took, took: r.took, tries: r.tries, ok: r.ok(), blunt: r.blunt, trouble: r.trouble,
	})
}

// seen is what the model of once-for-ever is told: an upload was acknowledged
// under a record id, or its outcome is not known; or a list showed the key so
// often.
type seen struct {
	record string
	times  int
	list   bool
}

func (l *load) write(patient, key string) {
	body := object{"client_record_id": key, "measurement_time": "2026-05-01T08:00:00Z", "heart_rate": object{"beats_per_minute": 70}}
	for range 2 {
		call := time.Since(l.begun)
		r := l.w.send(http.MethodPost, l.w.path+"/subjects/"+patient+"/vitals", body)
		l.note("write", r)
		var answer struct {
			RecordID string `json:"record_id"`
		}
		if r.ok() {
			_ = json.Unmarshal(r.body, &answer) // Without an id it is refused by the model.
		}
		l.mu.Lock()
		op := porcupine.Operation{Input: key, Output: seen{record: answer.RecordID}, Call: int64(call), Return: int64(time.Since(l.begun))}
		if !r.ok() {
			op.Return = 1 << 62 // It may take effect later.
			op.Output = seen{record: unknown}
		}
		l.ops[key], l.where[key] = append(l.ops[key], op), patient
		l.mu.Unlock()
		if !l.resend || mathrand.IntN(10) > 0 {
			return
		}
	}
}

func (l *load) list(patient string) {
	l.note("list", l.w.send(http.MethodGet, fmt.Sprintf("%s/subjects/%s/vitals?page_size=50", l.w.path, patient), nil))
}

const unknown = "?"

// onceForEver is a register that is empty or holds one record for ever.
var onceForEver = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, _, output any) []any {
		has, out := state.(string), output.(seen)
		switch {
		case out.list && out.times == 0:
			return when(has == "", has)
		case out.list:
			return when(out.times == 1 && (has == out.record || has == unknown), out.record)
		case out.record == unknown && has == "":
			return []any{"", unknown} // unknown as a state: there, under an id that nobody was told.
		case out.record == unknown:
			return []any{has}
		}
		return when(out.record != "" && (has == "" || has == unknown || has == out.record), out.record)
	},
}

func when(possible bool, state string) []any {
	if !possible {
		return nil
	}
	return []any{state}
}

// checkHistory lists everything and holds each key's history against the model:
// nothing acknowledged is lost, nothing is there twice.
func (l *load) checkHistory(t *testing.T) {
	t.Helper()
	found := map[string]seen{}
	call := time.Since(l.begun)
	for _, patient := range l.w.patients {
		for token := ""; ; {
			r := must(t, l.w.send(http.MethodGet, fmt.Sprintf("%s/subjects/%s/vitals?page_size=1000&page_token=%s", l.w.path, patient, token), nil))
			var page struct {
				Records []struct {
					RecordID       string `json:"record_id"`
					ClientRecordID string `json:"client_record_id"`
				} `json:"records"`
				Next string `json:"next_page_token"`
			}
			if err := json.Unmarshal(r.body, &page); err != nil {
				t.Fatal(err)
			}
			for _, rec := range page.Records {
				found[rec.ClientRecordID] = seen{list: true, record: rec.RecordID, times: found[rec.ClientRecordID].times + 1}
			}
			if token = page.Next; token == "" {
				break
			}
		}
	}
	model, bad := onceForEver.ToModel(), 0
	for key, ops := range l.ops {
		out := found[key]
		out.list = true
		ops = append(ops, porcupine.Operation{Input: key, Output: out, Call: int64(call), Return: int64(time.Since(l.begun))})
		if !porcupine.CheckOperations(model, ops) {
			if bad++; bad <= 3 {
				t.Errorf("the history of %s cannot be: %+v", key, ops)
			}
		}
	}
	for key := range found {
		if strings.HasPrefix(key, l.name) && l.ops[key] == nil {
			t.Errorf("%s is listed and was not sent", key)
		}
	}
	t.Logf("%d records checked, %d histories bad", len(l.ops), bad)
}

// report is what a load came to in a stretch of time.
type report struct {
	n, failed, retried, blunt int
	p50, p99, most            time.Duration
	lastTrouble               time.Duration // When the last request that was slow or needed a second try ended.
	perSecond                 float64
	trouble                   []string
}

// slowFrom is when a request counts as disturbed.
const slowFrom = time.Second

// between sums up the requests of a kind ("" is any) that began in the stretch.
func (l *load) between(from, to time.Duration, kinds ...string) (r report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, s := range l.samples {
		if s.at < from || s.at >= to || len(kinds) > 0 && !slices.Contains(kinds, s.kind) {
			continue
		}
		r.n++
		took = append(took, s.took)
		r.blunt += s.blunt
		if !s.ok {
			r.failed++
		}
		if s.tries > 1 {
			r.retried++
		}
		if !s.ok || s.tries > 1 || s.took > slowFrom {
			r.lastTrouble = max(r.lastTrouble, s.at+s.took-from)
			if len(r.trouble) < 3 && s.trouble != "" {
				r.trouble = append(r.trouble, s.trouble)
			}
		}
	}
	if r.n > 0 {
		slices.Sort(took)
		r.p50, r.p99, r.most = took[r.n/2], took[r.n*99/100], took[r.n-1]
		r.perSecond = float64(r.n) / (to - from).Seconds()
	}
	return r
}

func (l *load) now() time.Duration { return time.Since(l.begun) }

// Each bad history must be refused and each good one taken, else the checker
// shows nothing.
func TestModel(t *testing.T) {
	up := func(call, ret int64, record string) porcupine.Operation {
		return porcupine.Operation{Input: "k", Output: seen{record: record}, Call: call, Return: ret}
	}
	list := func(call, ret int64, times int, record string) porcupine.Operation {
		return porcupine.Operation{Input: "k", Output: seen{list: true, times: times, record: record}, Call: call, Return: ret}
	}
	for name, c := range map[string]struct {
		good bool
		ops  []porcupine.Operation
	}{
		"stored":               {true, []porcupine.Operation{up(1, 2, "r"), up(3, 4, "r"), list(5, 6, 1, "r")}},
		"unknown, stored":      {true, []porcupine.Operation{up(1, 1<<62, unknown), list(5, 6, 1, "r")}},
		"unknown, not stored":  {true, []porcupine.Operation{up(1, 1<<62, unknown), list(5, 6, 0, "")}},
		"unknown, then known":  {true, []porcupine.Operation{up(1, 1<<62, unknown), up(3, 4, "r"), list(5, 6, 1, "r")}},
		"lost":                 {false, []porcupine.Operation{up(1, 2, "r"), list(5, 6, 0, "")}},
		"doubled":              {false, []porcupine.Operation{up(1, 2, "r"), list(5, 6, 2, "r")}},
		"doubled by a resend":  {false, []porcupine.Operation{up(1, 2, "r"), up(3, 4, "s"), list(5, 6, 1, "r")}},
		"another":              {false, []porcupine.Operation{up(1, 2, "r"), list(5, 6, 1, "s")}},
		"acknowledged nothing": {false, []porcupine.Operation{up(1, 2, "")}},
	} {
		if got := porcupine.CheckOperations(onceForEver.ToModel(), c.ops); got != c.good {
			t.Errorf("%s: possible %v", name, got)
		}
	}
}
