package scenario

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sectionsOf says which sections of a view a process answers for, and the
// budget that etc/project-api.yaml gives them.
var sectionsOf = map[string]struct {
	names  []string
	budget time.Duration
}{
	"epro-rpc":    {[]string{"reports"}, 2 * time.Second},
	"vitals-rpc":  {[]string{"vitals"}, time.Second},
	"dicom-rpc":   {[]string{"images"}, time.Second},
	"subject-rpc": {[]string{"subjects", "medications"}, time.Second},
}

// views asks for the project n times at once and gives the answers with the
// time that each took.
func views(t *testing.T, a *api, path string, n int) ([]reply, []time.Duration) {
	t.Helper()
	replies, took := make([]reply, n), make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			begun := time.Now()
			r, err := a.try(http.MethodGet, path, nil)
			if err != nil {
				t.Errorf("view %d: %v", i, err)
			}
			replies[i], took[i] = r, time.Since(begun)
		})
	}
	wg.Wait()
	return replies, took
}

// checkStates checks that each section of the view is in the state wanted: hung
// ones in one of states, all others ok.
func checkStates(t *testing.T, r reply, hung []string, states ...string) {
	t.Helper()
	sections := r.want(t, 200)["sections"].(object)
	if len(sections) != 5 {
		t.Fatalf("%d sections: %s", len(sections), r.body)
	}
	for name, s := range sections {
		state := s.(object)["state"].(string)
		allowed := []string{"ok"}
		if slices.Contains(hung, name) {
			allowed = states
		}
		if !slices.Contains(allowed, state) {
			t.Fatalf("section %s is %s, want one of %v: %s", name, state, allowed, r.body)
		}
		if (state == "ok") != (s.(object)["data"] != nil) {
			t.Fatalf("section %s is %s, its data %v", name, state, s.(object)["data"])
		}
	}
}

// A service that hangs costs its own section its own budget, and nothing else.
func TestHungServiceCostsItsSectionOnly(t *testing.T) {
	w := newWorld(t)
	_, subject := w.subject(t, "s1")
	w.admin.post(t, subject+"/vitals", object{"measurement_time": "2026-05-01T08:00:00Z", "heart_rate": object{"beats_per_minute": 70}}).want(t, 201)
	reader := w.as(t, "monitor")
	checkStates(t, reader.get(t, w.path), nil)
	quiet := goroutines(t)
	for process, affected := range sectionsOf {
		t.Run(process, func(t *testing.T) {
			const atOnce = 200
			theSuite.signal(t, process, syscall.SIGSTOP)
			replies, took := views(t, reader, w.path, atOnce)
			theSuite.signal(t, process, syscall.SIGCONT)
			for _, r := range replies {
				checkStates(t, r, affected.names, "timeout")
			}
			slices.Sort(took)
			t.Logf("%d views: p50 %v, p99 %v, max %v, budget %v", atOnce, took[atOnce/2], took[atOnce*99/100], took[atOnce-1], affected.budget)
			eventually(t, 3*time.Second, func() error {
				sections := reader.get(t, w.path).want(t, 200)["sections"].(object)
				for name, s := range sections {
					if state := s.(object)["state"]; state != "ok" {
						return fmt.Errorf("%s is %v", name, state)
					}
				}
				return nil
			})
		})
	}
	eventually(t, 20*time.Second, func() error {
		if now := goroutines(t); now > quiet+50 {
			return fmt.Errorf("%d goroutines in the gateway, %d before", now, quiet)
		}
		return nil
	})
}

// A required section that fails is the answer.
func TestRequiredSectionBecomesTheAnswer(t *testing.T) {
	w := newWorld(t)
	reader := w.as(t, "monitor")
	reader.get(t, w.path+"?require=reports,vitals").want(t, 200)
	if reason := reader.get(t, w.path+"?require=everything").problem(t); reason != "QUERY_INVALID" {
		t.Fatalf("reason %s", reason)
	}
	theSuite.signal(t, "epro-rpc", syscall.SIGSTOP)
	defer theSuite.signal(t, "epro-rpc", syscall.SIGCONT)
	r := reader.get(t, w.path+"?require=reports", "Accept-Language", "zh-CN,zh;q=0.9")
	if o := r.want(t, 504); o["detail"] != "获取患者报告超时，请稍后重试" {
		t.Fatalf("detail %v", o["detail"])
	}
	checkStates(t, reader.get(t, w.path+"?require=vitals"), []string{"reports"}, "timeout")
}

// A killed service is away until it is restarted; a killed etcd changes nothing.
func TestKilledProcesses(t *testing.T) {
	w := newWorld(t)
	reader := w.as(t, "monitor")
	for process, affected := range sectionsOf {
		theSuite.signal(t, process, syscall.SIGKILL)
		for range 20 {
			checkStates(t, reader.get(t, w.path), affected.names, "unavailable", "ok")
		}
		eventually(t, 10*time.Second, func() error { return allOK(reader.get(t, w.path).want(t, 200)) })
	}
	theSuite.signal(t, "etcd", syscall.SIGKILL)
	for range 50 {
		checkStates(t, reader.get(t, w.path), nil)
		time.Sleep(20 * time.Millisecond)
	}
}

func allOK(view object) error {
	for name, s := range view["sections"].(object) {
		if state := s.(object)["state"]; state != "ok" {
			return fmt.Errorf("%s is %v", name, state)
		}
	}
	return nil
}

// eventually tries until there is no error, for at most d.
func eventually(t *testing.T, d time.Duration, try func() error) {
	t.Helper()
	end := time.Now().Add(d)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still after %v: %v", d, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// goroutines reads the gateway's own count from its metrics; of replicas, the sum.
func goroutines(t *testing.T) (sum int) {
	t.Helper()
	urls := []string{"http://127.0.0.1:9200/metrics"}
	if theSuite.containers != nil {
		urls = theSuite.containers.metrics("project-api", 9200)
	}
	for _, url := range urls {
		sum += int(gauge(t, url, "go_goroutines"))
	}
	return sum
}

// gauge reads one number from /metrics.
func gauge(t *testing.T, url, name string) float64 {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		var n float64
		if _, err := fmt.Sscanf(line, name+" %f", &n); err == nil {
			return n
		}
	}
	t.Fatalf("no %s at %s", name, url)
	return 0
}
