package scenario

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"clinsource/internal/fault"
	"clinsource/internal/mtls"
	vitalspb "clinsource/proto/vitals"
)

// The history of one (project, client_record_id) is that of a register which is
// empty or holds, for ever, the first content that was uploaded.

// attempt is one request about one key: an upload of a content, or a look at a
// list ("" as content).
type attempt struct {
	key       string
	content   string
	disturbed bool // A process was killed meanwhile: somebody on the way may have sent it twice.
}

// told is what the caller was told.
type told struct {
	kind    string // One of those below.
	record  string // Of created, same and seen.
	content string // Of seen.
	times   int    // Of seen: how often the key was listed.
}

const (
	wasCreated  = "created"
	wasSame     = "same"
	wasConflict = "conflict"
	isUnknown   = "unknown" // No answer, or one that does not tell.
	isSeen      = "seen"    // In a list; times 0 is not there.
)

// register is what is stored under a key. A record of which nobody has been told
// has no id yet; the first who is told fixes it.
type register struct{ content, record string }

func (r register) empty() bool { return r.content == "" }

// holds gives the register if it may be known as this record.
func (r register) holds(content, record string) []any {
	if r.content != content || (r.record != "" && r.record != record) || record == "" {
		return nil
	}
	return []any{register{content, record}}
}

// step gives the registers that may be after an attempt that was answered so; none
// if it cannot have been.
func step(state, input, output any) []any {
	r, in, out := state.(register), input.(attempt), output.(told)
	switch out.kind {
	case wasCreated:
		if r.empty() && out.record != "" {
			return []any{register{in.content, out.record}}
		}
		return nil
	case wasSame:
		if r.empty() && in.disturbed { // The first sending was ours as well, and went unanswered.
			return register{content: in.content}.holds(in.content, out.record)
		}
		return r.holds(in.content, out.record)
	case wasConflict:
		if !r.empty() && r.content != in.content {
			return []any{r}
		}
		return nil
	case isUnknown:
		if r.empty() {
			return []any{r, register{content: in.content}}
		}
		return []any{r}
	case isSeen:
		if out.times == 0 && r.empty() {
			return []any{r}
		}
		if out.times == 1 {
			return r.holds(out.content, out.record)
		}
	}
	return nil
}

// onceForEver is the model that a history is checked against, key by key.
var onceForEver = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(attempt).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{register{}} },
	Step: step,
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
}).ToModel()

// Each bad history must be refused, and each good one taken: else the checker
// shows nothing.
func TestModelOfOnceForEver(t *testing.T) {
	up := func(content string, call, ret int64, kind, record string) porcupine.Operation {
		return porcupine.Operation{Input: attempt{key: "k", content: content}, Output: told{kind: kind, record: record}, Call: call, Return: ret}
	}
	retried := func(content string, call, ret int64, kind, record string) porcupine.Operation {
		op := up(content, call, ret, kind, record)
		op.Input = attempt{key: "k", content: content, disturbed: true}
		return op
	}
	list := func(call, ret int64, times int, content, record string) porcupine.Operation {
		return porcupine.Operation{Input: attempt{key: "k"}, Output: told{isSeen, record, content, times}, Call: call, Return: ret}
	}
	elsewhere := func(op porcupine.Operation) porcupine.Operation {
		op.Input = attempt{key: "other", content: op.Input.(attempt).content}
		return op
	}
	for name, c := range map[string]struct {
		good    bool
		history []porcupine.Operation
	}{
		"created, listed":                    {true, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), list(3, 4, 1, "a", "r")}},
		"created, same, conflict":            {true, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("a", 3, 4, wasSame, "r"), up("b", 5, 6, wasConflict, "")}},
		"twins at once":                      {true, []porcupine.Operation{up("a", 1, 4, wasSame, "r"), up("a", 2, 3, wasCreated, "r")}},
		"rivals at once":                     {true, []porcupine.Operation{up("a", 1, 4, wasConflict, ""), up("b", 2, 3, wasCreated, "r")}},
		"listed while on its way":            {true, []porcupine.Operation{up("a", 1, 9, wasCreated, "r"), list(2, 3, 1, "a", "r")}},
		"not yet listed while on its way":    {true, []porcupine.Operation{up("a", 1, 9, wasCreated, "r"), list(2, 3, 0, "", "")}},
		"unknown was stored":                 {true, []porcupine.Operation{up("a", 1, never, isUnknown, ""), up("a", 3, 4, wasSame, "r")}},
		"unknown was not stored":             {true, []porcupine.Operation{up("a", 1, never, isUnknown, ""), list(3, 4, 0, "", ""), up("a", 5, 6, wasCreated, "r")}},
		"unknown takes effect late":          {true, []porcupine.Operation{up("a", 1, never, isUnknown, ""), list(3, 4, 0, "", ""), list(5, 6, 1, "a", "r")}},
		"sent twice on the way":              {true, []porcupine.Operation{retried("a", 1, 2, wasSame, "r"), list(3, 4, 1, "a", "r")}},
		"keys do not touch":                  {true, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), elsewhere(up("b", 3, 4, wasCreated, "s"))}},
		"acknowledged and lost":              {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), list(3, 4, 0, "", "")}},
		"acknowledged, lost, made again":     {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("a", 3, 4, wasCreated, "s")}},
		"a resend acknowledged and lost":     {false, []porcupine.Operation{up("a", 1, never, isUnknown, ""), up("a", 3, 4, wasSame, "r"), list(5, 6, 0, "", "")}},
		"listed, then gone":                  {false, []porcupine.Operation{up("a", 1, never, isUnknown, ""), list(3, 4, 1, "a", "r"), list(5, 6, 0, "", "")}},
		"listed twice":                       {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), list(3, 4, 2, "a", "r")}},
		"doubled by a resend":                {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("a", 3, 4, wasSame, "s")}},
		"doubled unseen":                     {false, []porcupine.Operation{up("a", 1, never, isUnknown, ""), up("a", 3, 4, wasSame, "r"), list(5, 6, 1, "a", "s")}},
		"changed content":                    {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), list(3, 4, 1, "b", "r")}},
		"changed record":                     {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), list(3, 4, 1, "a", "s")}},
		"overwritten":                        {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("b", 3, 4, wasCreated, "s")}},
		"other content taken for the same":   {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("b", 3, 4, wasSame, "r")}},
		"the same taken for other":           {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), up("a", 3, 4, wasConflict, "")}},
		"a conflict with nothing":            {false, []porcupine.Operation{up("a", 1, 2, wasConflict, "")}},
		"the same as nothing":                {false, []porcupine.Operation{up("a", 1, 2, wasSame, "r")}},
		"listed out of nothing":              {false, []porcupine.Operation{list(1, 2, 1, "a", "r"), up("a", 3, 4, wasCreated, "r")}},
		"created without a record":           {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "")}},
		"a conflict with its own unknown":    {false, []porcupine.Operation{up("a", 1, never, isUnknown, ""), up("a", 3, 4, wasConflict, "")}},
		"lost though sent twice on the way":  {false, []porcupine.Operation{retried("a", 1, 2, wasSame, "r"), list(3, 4, 0, "", "")}},
		"two wins of rivals":                 {false, []porcupine.Operation{up("a", 1, 4, wasCreated, "r"), up("b", 2, 3, wasCreated, "s")}},
		"a loss beside another key that won": {false, []porcupine.Operation{up("a", 1, 2, wasCreated, "r"), elsewhere(up("a", 1, 2, wasCreated, "r")), list(3, 4, 0, "", "")}},
	} {
		if got := porcupine.CheckOperations(onceForEver, c.history); got != c.good {
			t.Errorf("%s: linearizable %v, want %v", name, got, c.good)
		}
	}
}

// recorder takes down what happens, from many goroutines.
type recorder struct {
	begun time.Time

	mu    sync.Mutex
	ops   []porcupine.Operation
	lists []listing
	kills [][2]int64             // From a kill until the next process has answered.
	kinds map[string]int         // How many uploads were told each kind.
	keys  map[string][]string    // Patient -> the keys that were tried.
	acked map[string]told        // Key -> what an acknowledgement promised to be listed.
	who   map[string]*persistent // Key -> who sends it.
}

// listing is a patient's whole list, as seen at some moment of the call.
type listing struct {
	call, ret int64
	patient   string
	seen      map[string]told // By key.
}

// never is when an upload of unknown outcome is over: it may take effect later.
const never = 1 << 62

func newRecorder() *recorder {
	return &recorder{
		begun: time.Now(), kinds: map[string]int{}, keys: map[string][]string{}, acked: map[string]told{}, who: map[string]*persistent{},
	}
}

func (r *recorder) now() int64 { return int64(time.Since(r.begun)) }

// persistent is an upload that is sent until it is known what became of it.
type persistent struct {
	patient, key string
	content      int
}

// note takes down one sending of it.
func (r *recorder) note(p persistent, call int64, out told) {
	ret := r.now()
	if out.kind == isUnknown {
		ret = never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[out.kind]++
	r.ops = append(r.ops, porcupine.Operation{Input: attempt{key: p.key, content: contentText(p.content)}, Output: out, Call: call, Return: ret})
	if r.who[p.key] == nil {
		r.keys[p.patient] = append(r.keys[p.patient], p.key)
		r.who[p.key] = &p
	}
	if out.kind == wasCreated || out.kind == wasSame {
		r.acked[p.key] = told{kind: isSeen, record: out.record, content: contentText(p.content), times: 1}
		r.who[p.key] = &p
	}
}

// former gives an upload of before, whose content won.
func (r *recorder) former() (persistent, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.acked { // Go's maps begin anywhere.
		return *r.who[key], true
	}
	return persistent{}, false
}

// history gives all operations by key: a list is a look at every key that its
// patient ever had.
func (r *recorder) history() map[string][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	for _, op := range r.ops {
		in := op.Input.(attempt)
		in.disturbed = slices.ContainsFunc(r.kills, func(k [2]int64) bool { return k[0] <= op.Return && op.Call <= k[1] })
		op.Input = in
		byKey[in.key] = append(byKey[in.key], op)
	}
	for _, l := range r.lists {
		for _, key := range r.keys[l.patient] {
			out, ok := l.seen[key]
			if !ok {
				out = told{kind: isSeen}
			}
			byKey[key] = append(byKey[key], porcupine.Operation{Input: attempt{key: key}, Output: out, Call: l.call, Return: l.ret})
		}
	}
	return byKey
}

// check holds each key's history against the model.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	bad, looks := 0, 0
	for key, ops := range r.history() {
		looks += len(ops)
		if result := porcupine.CheckOperationsTimeout(onceForEver, ops, 20*time.Second); result != porcupine.Ok {
			if bad++; bad > 3 {
				continue
			}
			t.Errorf("the history of %s is %s:", key, result)
			slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			for _, op := range ops {
				t.Logf("  %v to %v: %+v -> %+v", time.Duration(op.Call), time.Duration(op.Return), op.Input, op.Output)
			}
		}
	}
	t.Logf("%d keys, %d operations, %d histories not linearizable", len(r.who), looks, bad)
}

// A content stands for a measurement: neighbours 2n and 2n+1 are of the same
// time, and many records share a time, so that pages must keep ties in order.
func measurement(content int) (at string, rate int) {
	return fmt.Sprintf("2026-05-01T08:%02d:00Z", content/2%10), 60 + content%40
}

func contentText(content int) string {
	at, rate := measurement(content)
	return fmt.Sprintf("%s, %d", at, rate)
}

// line is how vitals go in and out: through the gateway, or over gRPC as a
// partner, at random.
type line struct {
	path, project, token string
	http                 *http.Client
	grpc                 vitalspb.VitalsServiceClient
}

// patienceForAnswer is what a client waits for one answer.
const patienceForAnswer = 5 * time.Second

func newLine(t *testing.T, w *world) *line {
	t.Helper()
	files, err := mtls.NewClient(mtls.ClientFiles{
		ServerName: "vitals-rpc", CaFile: certs + "/ca.crt", CertFile: certs + "/partner.crt", KeyFile: certs + "/partner.key",
	})
	if err != nil {
		t.Fatal(err)
	}
	quick := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:9101", grpc.WithTransportCredentials(files.Credentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quick, MinConnectTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &line{
		path: w.path, project: w.project, token: w.as(t, "investigator").token,
		http: &http.Client{Transport: transport(), Timeout: patienceForAnswer}, grpc: vitalspb.NewVitalsServiceClient(conn),
	}
}

// upload sends once. An error is an answer that no kill explains.
func (l *line) upload(p persistent) (told, error) {
	at, rate := measurement(p.content)
	if rand.IntN(2) == 0 {
		return l.uploadHTTP(p, at, rate)
	}
	ctx, cancel := context.WithTimeout(authorized(context.Background(), l.token), patienceForAnswer)
	defer cancel()
	out, err := l.grpc.UploadVitals(ctx, &vitalspb.UploadVitalsRequest{
		PatientId: p.patient, ProjectId: l.project, ClientRecordId: p.key, SourceTimeText: at,
		HeartRate: &vitalspb.HeartRate{BeatsPerMinuteEntered: fmt.Sprint(rate)},
	})
	switch f := fault.From(err); {
	case err == nil && out.GetCreated():
		return told{kind: wasCreated, record: out.GetRecordId()}, nil
	case err == nil:
		return told{kind: wasSame, record: out.GetRecordId()}, nil
	case f.Code == codes.AlreadyExists:
		return told{kind: wasConflict}, nil
	case f.Code == codes.Unavailable || f.Code == codes.DeadlineExceeded:
		return told{kind: isUnknown}, nil
	}
	return told{kind: isUnknown}, err
}

func (l *line) uploadHTTP(p persistent, at string, rate int) (told, error) {
	body, err := json.Marshal(object{"client_record_id": p.key, "measurement_time": at, "heart_rate": object{"beats_per_minute": rate}})
	if err != nil {
		return told{kind: isUnknown}, err
	}
	a := &api{token: l.token, http: l.http}
	r, err := a.try(http.MethodPost, l.path+"/subjects/"+p.patient+"/vitals", bytes.NewReader(body))
	if err != nil {
		return told{kind: isUnknown}, err // Nobody kills the gateway.
	}
	var answer struct {
		RecordID string `json:"record_id"`
	}
	err = json.Unmarshal(r.body, &answer)
	switch r.status {
	case http.StatusCreated:
		return told{kind: wasCreated, record: answer.RecordID}, err
	case http.StatusOK:
		return told{kind: wasSame, record: answer.RecordID}, err
	case http.StatusConflict:
		return told{kind: wasConflict}, err
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return told{kind: isUnknown}, err
	}
	return told{kind: isUnknown}, fmt.Errorf("status %d: %s", r.status, r.body)
}

// list reads all of a patient's records, page by page; false if a page did not
// come.
func (l *line) list(patient string) (map[string]told, bool) {
	seen := map[string]told{}
	for token := ""; ; {
		page, ok := l.page(patient, token)
		if !ok {
			return nil, false
		}
		for _, record := range page.GetRecords() {
			out := seen[record.GetClientRecordId()]
			seen[record.GetClientRecordId()] = told{
				kind: isSeen, record: record.GetRecordId(), times: out.times + 1,
				content: fmt.Sprintf("%s, %s", record.GetSourceTimeText(), record.GetHeartRate().GetBeatsPerMinuteEntered()),
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return seen, true
		}
	}
}

const recordsPerPage = 40

func (l *line) page(patient, token string) (*vitalspb.ListVitalsResponse, bool) {
	if rand.IntN(2) == 0 {
		ctx, cancel := context.WithTimeout(authorized(context.Background(), l.token), patienceForAnswer)
		defer cancel()
		page, err := l.grpc.ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: patient, ProjectId: l.project, PageSize: recordsPerPage, PageToken: token})
		return page, err == nil
	}
	a := &api{token: l.token, http: l.http}
	r, err := a.try(http.MethodGet, fmt.Sprintf("%s/subjects/%s/vitals?page_size=%d&page_token=%s", l.path, patient, recordsPerPage, token), nil)
	if err != nil || r.status != http.StatusOK {
		return nil, false
	}
	page := &vitalspb.ListVitalsResponse{}
	return page, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(r.body, page) == nil
}

// load is writers and readers at work until they are told to stop.
type load struct {
	t        *testing.T
	line     *line
	recorder *recorder
	patients [][]string // By round: each time between two kills has its own.
	round    atomic.Int64
	contents atomic.Int64
	stop     chan struct{}
	wg       sync.WaitGroup
}

const (
	killings         = 20
	writers          = 12
	readers          = 3
	patientsPerRound = 4
)

func (l *load) start() {
	for i := range writers {
		l.wg.Go(func() { l.until(func(n int) { l.write(i, n) }) })
	}
	for range readers {
		l.wg.Go(func() { l.until(func(int) { l.read() }) })
	}
}

func (l *load) until(do func(n int)) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
			do(n)
		}
	}
}

// write uploads one key: alone, twice at once, against a rival, or one of before
// again.
func (l *load) write(writer, n int) {
	round := l.patients[l.round.Load()]
	content := 2 * int(l.contents.Add(1))
	p := persistent{patient: round[rand.IntN(len(round))], key: fmt.Sprintf("k-%d-%d", writer, n), content: content}
	rival := p
	rival.content++
	switch n % 6 {
	case 0:
		l.atOnce(p, p)
	case 1:
		l.atOnce(p, rival)
	case 2:
		if old, ok := l.recorder.former(); ok {
			other := old
			other.content ^= 1
			l.atOnce(old, other)
		}
	default:
		l.persist(p)
	}
}

func (l *load) atOnce(all ...persistent) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() { l.persist(p) })
	}
	wg.Wait()
}

// persist sends until it is known what became of it.
func (l *load) persist(p persistent) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		call := l.recorder.now()
		out, err := l.line.upload(p)
		l.recorder.note(p, call, out)
		if err != nil {
			l.t.Errorf("upload of %s: %v", p.key, err)
		}
		if out.kind != isUnknown {
			return
		}
		if time.Now().After(end) {
			l.t.Errorf("%s is not acknowledged after 30 s of sending", p.key)
			return
		}
	}
}

// read lists a patient of this round or of one before.
func (l *load) read() {
	round := l.round.Load()
	if rand.IntN(4) == 0 {
		round = rand.Int64N(round + 1)
	}
	l.look(l.patients[round][rand.IntN(patientsPerRound)])
	time.Sleep(20 * time.Millisecond)
}

func (l *load) look(patient string) (seen map[string]told) {
	call := l.recorder.now()
	seen, ok := l.line.list(patient)
	if !ok {
		return nil
	}
	l.recorder.mu.Lock()
	defer l.recorder.mu.Unlock()
	l.recorder.lists = append(l.recorder.lists, listing{call: call, ret: l.recorder.now(), patient: patient, seen: seen})
	return seen
}

// kill ends vitals-rpc and waits until its successor answers; it gives when, in
// time since the boot, the one was ended and the other started.
func (l *load) kill() (ended, started time.Duration) {
	old, call := theSuite.pid(l.t, "vitals-rpc"), l.recorder.now()
	ended = sinceBoot(l.t)
	theSuite.signal(l.t, "vitals-rpc", syscall.SIGKILL)
	next := old
	for next == old {
		next = theSuite.pid(l.t, "vitals-rpc")
	}
	eventually(l.t, 10*time.Second, func() error {
		if l.look(l.patients[0][0]) == nil {
			return errors.New("vitals-rpc does not answer")
		}
		return nil
	})
	l.recorder.mu.Lock()
	defer l.recorder.mu.Unlock()
	l.recorder.kills = append(l.recorder.kills, [2]int64{call, l.recorder.now()})
	return ended, startOf(l.t, next)
}

func sinceBoot(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// startOf gives when the kernel started a process, to 10 ms: how late this test
// looks on a busy machine does not count.
func startOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	ticks, err := strconv.Atoi(strings.Fields(rest)[19]) // Field 22; USER_HZ is 100.
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Killed again and again under load, vitals-rpc loses nothing that it has
// acknowledged, and doubles nothing that was sent again.
func TestKilledUnderLoadLosesNothing(t *testing.T) {
	w := newWorld(t)
	l := &load{t: t, line: newLine(t, w), recorder: newRecorder(), stop: make(chan struct{})}
	for range killings + 1 {
		var round []string
		for range patientsPerRound {
			id, _ := w.subject(t, "s1")
			round = append(round, id)
		}
		l.patients = append(l.patients, round)
	}
	l.start()
	time.Sleep(time.Second)
	var slowest time.Duration
	for range killings {
		ended, started := l.kill()
		slowest = max(slowest, started-ended)
		l.round.Add(1)
		// The launcher backs off from what keeps exiting within a second.
		time.Sleep(started + 1050*time.Millisecond + rand.N(250*time.Millisecond) - sinceBoot(t))
	}
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d kills in %v, a successor after %v at most; uploads: %v; lists: %d",
		killings, time.Since(l.recorder.begun).Round(time.Second), slowest, l.recorder.kinds, len(l.recorder.lists))
	if slowest > 500*time.Millisecond {
		t.Errorf("the launcher took %v to restart vitals-rpc, more than 0.5 s", slowest)
	}
	for _, kind := range []string{wasCreated, wasSame, wasConflict, isUnknown} {
		if l.recorder.kinds[kind] < killings {
			t.Errorf("only %d uploads were %s: this run shows too little", l.recorder.kinds[kind], kind)
		}
	}
	l.checkEnd(w)
	l.recorder.check(t)
}

// checkEnd compares what is stored in the end with what was acknowledged.
func (l *load) checkEnd(w *world) {
	stored := 0
	for _, patient := range slices.Concat(l.patients...) {
		seen := l.look(patient)
		for key, out := range seen {
			if out != l.recorder.acked[key] {
				l.t.Errorf("%s is listed as %+v, acknowledged was %+v", key, out, l.recorder.acked[key])
			}
		}
		if len(seen) != len(l.recorder.keys[patient]) {
			l.t.Errorf("a patient has %d records of %d", len(seen), len(l.recorder.keys[patient]))
		}
		stored += len(seen)
	}
	if stored != len(l.recorder.acked) || stored != len(l.recorder.who) {
		l.t.Errorf("%d records are stored, %d were acknowledged, of %d", stored, len(l.recorder.acked), len(l.recorder.who))
	}
	view := w.admin.get(l.t, w.path).want(l.t, 200)["sections"].(object)["vitals"].(object)["data"].(object)
	if fmt.Sprint(view["count"]) != fmt.Sprint(stored) {
		l.t.Errorf("the project view counts %v records of %d", view["count"], stored)
	}
}
