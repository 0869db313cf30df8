package scenario

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"clinsource/internal/auth"
)

// The canaries: what no log may hold, however the request that brought it went.
const (
	canary = "CANARYzz7h1q"  // in bodies, and in headers that nobody asked for
	person = "ErikaMusterzz" // a person's name, where names do not belong
)

// maxGrowth bounds how far the gateway's memory may rise over all of this file.
const maxGrowth = 32 << 20

// hostile is one run of the stories here: a project with one subject.
type hostile struct {
	w             *world
	patient, path string
}

// Everything that a hostile or broken caller sends is answered by a problem, in
// both languages, in constant memory, and leaves no trace of itself in a log.
func TestHostileCallers(t *testing.T) {
	h := &hostile{w: newWorld(t)}
	h.patient, h.path = h.w.subject(t, "s1")
	h.w.admin.post(t, h.path+"/vitals", heartRate()).want(t, 201)
	memory := watchMemory(t, "project-api")
	slow := h.startSlow(t)

	t.Run("no token and 300 MiB", h.unauthenticatedUpload)
	t.Run("tokens", h.tokens)
	t.Run("gzip bomb", h.gzipBomb)
	t.Run("large bodies", h.largeBodies)
	t.Run("query", h.query)
	t.Run("malformed bodies", h.malformedBodies)
	t.Run("paths", h.paths)
	t.Run("methods", h.methods)
	t.Run("event stream", h.eventStream)
	t.Run("request ids", h.requestIDs)
	t.Run("headers", h.headers)
	t.Run("slow callers", slow)

	h.w.admin.get(t, h.w.path).want(t, 200)
	grown := memory()
	t.Logf("the gateway's memory rose by %.1f MiB", float64(grown)/(1<<20))
	if grown > maxGrowth {
		t.Errorf("the gateway's memory rose by %d bytes, more than %d", grown, maxGrowth)
	}
	h.checkLogs(t)
}

// checkLogs looks for what came in, in the logs of all processes.
func (h *hostile) checkLogs(t *testing.T) {
	t.Helper()
	logs := theSuite.logs(t)
	_, payload, _ := strings.Cut(h.w.admin.token, ".")
	for what, text := range map[string]string{
		"the body's canary": canary, "the person's name": person, "the patient id": h.patient,
		"the token": h.w.admin.token, "the token's payload": payload[:40], "a query": "page_size=", "a path": h.w.project + "/",
	} {
		if i := strings.Index(logs, text); i >= 0 {
			line := logs[strings.LastIndexByte(logs[:i], '\n')+1:]
			line, _, _ = strings.Cut(line, "\n")
			t.Errorf("a log line holds %s: %.400s", what, line)
		}
	}
	if !strings.Contains(logs, `"route":"POST /v1/projects/:project_id/subjects/:patient_id/vitals"`) {
		t.Error("no log line tells the route's pattern: these are not the logs of what was sent here")
	}
	for _, line := range strings.Split(logs, "\n") {
		if strings.Contains(line, "panic") {
			t.Errorf("something panicked: %.400s", line)
		}
	}
}

func heartRate() object {
	return object{"measurement_time": "2026-05-01T08:00:00Z", "heart_rate": object{"beats_per_minute": 70}}
}

// watchMemory samples a process's resident memory until the result is called,
// which gives how far it rose over what it was.
func watchMemory(t *testing.T, process string) (grown func() int64) {
	t.Helper()
	pid := theSuite.pid(t, process)
	before := resident(t, pid)
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if now := resident(t, pid); now > most.Load() {
				most.Store(now)
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		if theSuite.pid(t, process) != pid {
			t.Errorf("%s was restarted meanwhile", process)
		}
		return most.Load() - before
	}
}

// resident gives VmRSS in bytes, 0 if the process is gone.
func resident(t *testing.T, pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Errorf("VmRSS of %d: %v", pid, err)
	}
	return kib << 10
}

// protocols gives the same caller over both versions of HTTP.
func protocols(a *api) map[string]*api {
	one := transport().Clone()
	one.ForceAttemptHTTP2 = false
	one.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return map[string]*api{"HTTP/1.1": {token: a.token, http: &http.Client{Transport: one}}, "HTTP/2": a}
}

// refused checks one refusal in English and in Chinese.
func refused(t *testing.T, status int, reason string, send func(language string) reply) {
	t.Helper()
	english, chinese := send("en"), send("zh-CN,zh;q=0.9")
	for language, r := range map[string]reply{"en": english, "zh": chinese} {
		if r.status != status {
			t.Errorf("%s: status %d, want %d: %.300s", language, r.status, status, r.body)
			return
		}
		if got := r.problem(t); got != reason {
			t.Errorf("%s: reason %s, want %s: %.300s", language, got, reason, r.body)
		}
		for _, key := range []string{"title", "detail"} {
			text := r.object(t)[key].(string)
			if han := strings.ContainsFunc(text, func(c rune) bool { return unicode.Is(unicode.Han, c) }); han != (language == "zh") {
				t.Errorf("%s: the %s is %q", language, key, text)
			}
		}
	}
}

// endless gives a text again and again, so many bytes of it, and counts what
// was taken: a transport may go on reading when the answer is there already.
type endless struct {
	text  string
	size  int64
	taken atomic.Int64
}

func (e *endless) Read(b []byte) (int, error) {
	taken := e.taken.Load()
	if taken >= e.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), e.size-taken))
	for i := 0; i < n; {
		i += copy(b[i:n], e.text[(taken+int64(i))%int64(len(e.text)):])
	}
	e.taken.Add(int64(n))
	return n, nil
}

func (h *hostile) unauthenticatedUpload(t *testing.T) {
	for protocol, a := range protocols(&api{http: h.w.admin.http}) {
		t.Run(protocol, func(t *testing.T) {
			refused(t, 401, "TOKEN_MISSING", func(language string) reply {
				body := &endless{text: canary, size: 300 << 20}
				r := a.send(t, http.MethodPut, h.path+"/images", body, "Accept-Language", language)
				if r.header.Get("WWW-Authenticate") == "" {
					t.Error("401 without WWW-Authenticate")
				}
				if taken := body.taken.Load(); taken > 64<<20 {
					t.Errorf("%d MiB were sent before the answer", taken>>20)
				}
				return r
			})
		})
	}
}

// tokens are refused alike, whatever is wrong with them.
func (h *hostile) tokens(t *testing.T) {
	grants := []auth.Grant{{Role: auth.Admin, Project: h.w.project}}
	expired, err := auth.Issue(certs+"/issuer.key", "tester", grants, -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(h.w.admin.token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	const unsigned = "eyJhbGciOiJub25lIn0" // {"alg":"none"}
	for name, token := range map[string]string{
		"expired": expired, "no token": canary, "unsigned": unsigned + "." + payload + ".", "other header": unsigned + "." + payload + "." + signature,
		"cut": head + "." + payload, "signature changed": head + "." + payload + "." + strings.Repeat("A", len(signature)),
		"9 KiB": strings.Repeat(canary, 768), "two": h.w.admin.token + " " + h.w.admin.token, "not ASCII": "ü" + canary,
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{token: token, http: h.w.admin.http}
			refused(t, 401, "TOKEN_INVALID", func(language string) reply { return a.get(t, h.w.path, "Accept-Language", language) })
		})
	}
	a := &api{http: h.w.admin.http}
	refused(t, 401, "TOKEN_INVALID", func(language string) reply {
		return a.get(t, h.w.path, "Accept-Language", language, "Authorization", "Basic "+h.w.admin.token)
	})
}

// gzipped compresses n bytes of a text.
func gzipped(t *testing.T, body *endless) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = io.Copy(w, body)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (h *hostile) gzipBomb(t *testing.T) {
	bomb := gzipped(t, &endless{text: " ", size: 300 << 20})
	if len(bomb) > 400<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for protocol, a := range protocols(h.w.admin) {
		for _, route := range []string{"/vitals", "/vitals:batch", "/reports", "/medications"} {
			t.Run(protocol+route, func(t *testing.T) {
				refused(t, 413, "BODY_TOO_LARGE", func(language string) reply {
					return a.send(t, http.MethodPost, h.path+route, bytes.NewReader(bomb), "Content-Encoding", "gzip", "Accept-Language", language)
				})
			})
		}
	}
	body, err := json.Marshal(heartRate())
	if err != nil {
		t.Fatal(err)
	}
	small := gzipped(t, &endless{text: string(body), size: int64(len(body))})
	h.w.admin.send(t, http.MethodPost, h.path+"/vitals", bytes.NewReader(small), "Content-Encoding", "gzip").want(t, 200)
}

// unsized hides a reader's length, so that the body goes without Content-Length.
type unsized struct{ io.Reader }

// sized are the routes with their limits, and a body that each takes.
func sized(t *testing.T) map[string]struct {
	body  []byte
	limit int64
} {
	t.Helper()
	one, err := json.Marshal(heartRate())
	if err != nil {
		t.Fatal(err)
	}
	batch := []byte(`{"records":[` + string(one) + `]}`)
	return map[string]struct {
		body  []byte
		limit int64
	}{"/vitals": {one, 1 << 20}, "/vitals:batch": {batch, 8 << 20}}
}

// padded is a body with spaces behind it, so many bytes in all; without length
// it goes in chunks.
func padded(t *testing.T, body []byte, size int64, length bool) io.Reader {
	t.Helper()
	whole := io.MultiReader(bytes.NewReader(body), &endless{text: " ", size: size - int64(len(body))})
	if !length {
		return unsized{whole}
	}
	data, err := io.ReadAll(whole)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

// largeBodies are refused from one byte over the limit on.
func (h *hostile) largeBodies(t *testing.T) {
	for route, c := range sized(t) {
		for protocol, a := range protocols(h.w.admin) {
			for framing, length := range map[string]bool{"with length": true, "without length": false} {
				t.Run(protocol+route+" "+framing, func(t *testing.T) {
					for _, size := range []int64{c.limit + 1, 9 << 20, 12 << 20} {
						refused(t, 413, "BODY_TOO_LARGE", func(language string) reply {
							return a.send(t, http.MethodPost, h.path+route, padded(t, c.body, size, length), "Accept-Language", language)
						})
					}
				})
			}
		}
	}
}

// A body of just the limit is taken.
func TestBodiesAtTheLimit(t *testing.T) {
	w := newWorld(t)
	_, path := w.subject(t, "s1")
	w.admin.post(t, path+"/vitals", heartRate()).want(t, 201)
	for route, c := range sized(t) {
		for protocol, a := range protocols(w.admin) {
			for _, length := range []bool{true, false} {
				r := a.send(t, http.MethodPost, path+route, padded(t, c.body, c.limit, length))
				if r.status != 200 {
					t.Errorf("%s, %s, with length %t: status %d: %.300s", protocol, route, length, r.status, r.body)
				}
			}
		}
	}
}

func (h *hostile) query(t *testing.T) {
	list := h.path + "/vitals"
	for query, field := range map[string]string{
		"?" + person + "=1": person, "?patient_name=" + person: "patient_name", "?page_size=7&" + person: person,
		"?page_size=1&page_size=2": "page_size", "?page_size=" + person: "page_size", "?page_size=1.5": "page_size",
		"?page_size=1;name=" + person: "", "?name=%zz" + person: "", "?%00" + person + "=1": "\x00" + person, "?require=vitals": "require",
	} {
		t.Run(query, func(t *testing.T) {
			refused(t, 400, "QUERY_INVALID", func(language string) reply {
				r := h.w.admin.get(t, list+query, "Accept-Language", language)
				named, _ := r.object(t)["errors"].([]any)
				if field != "" && (len(named) != 1 || named[0].(object)["field"] != field) {
					t.Errorf("errors are %v, want one on %q", named, field)
				}
				return r
			})
		})
	}
	refused(t, 400, "FIELD_INVALID", func(language string) reply {
		return h.w.admin.get(t, list+"?page_size=-1", "Accept-Language", language)
	})
	refused(t, 400, "PAGE_TOKEN_INVALID", func(language string) reply {
		return h.w.admin.get(t, list+"?page_token="+person, "Accept-Language", language)
	})
	refused(t, 400, "QUERY_INVALID", func(language string) reply {
		return h.w.admin.get(t, h.w.path+"?require="+person, "Accept-Language", language)
	})
	h.w.admin.get(t, list+"?page_size=99999999999").want(t, 200) // Larger than 1000 is 1000.
	// Parameters where none belong: on what is written, and before the token is looked at.
	refused(t, 400, "QUERY_INVALID", func(language string) reply {
		return h.w.admin.post(t, list+"?"+person, heartRate(), "Accept-Language", language)
	})
	refused(t, 401, "TOKEN_MISSING", func(language string) reply {
		return (&api{http: h.w.admin.http}).get(t, list+"?"+person, "Accept-Language", language)
	})
}

// posts are the routes that read JSON.
func (h *hostile) posts() []string {
	return []string{
		"/v1/projects", h.w.path + "/sites", h.w.path + "/subjects", h.path + ":withdraw",
		h.path + "/vitals", h.path + "/vitals:batch", h.path + "/reports", h.path + "/medications",
	}
}

// malformed are bodies that no route takes. Each holds the canary where it can.
var malformed = map[string]string{
	"empty": "", "a space": " ", "an array": `["` + canary + `"]`, "null": "null", "a string": `"` + canary + `"`, "a number": "1", "no object": "{",
	"text": canary, "half a key": `{"` + canary, "half a value": `{"patient_id":"` + canary, "no quotes": `{patient_id:"` + canary + `"}`,
	"trailing object": `{}{"` + canary + `":1}`, "trailing text": `{} ` + canary, "trailing comma": `{"patient_id":"x",}`, "comment": `{/*` + canary + `*/}`,
	"not UTF-8":   "{\"patient_id\":\"" + canary + "\xff\"}",
	"NUL in text": "{\"patient_id\":\"" + canary + "\x00\"}", "escaped NUL in an id": `{"patient_id":"` + canary + `\u0000","project_id":"\u0000"}`,
	"half a surrogate": `{"patient_id":"` + canary + `\ud800"}`, "byte order mark": "\ufeff{}",
	"deep array":  strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	"deep object": strings.Repeat(`{"patient_id":`, 1000) + "1" + strings.Repeat("}", 1000),
	"deep, open":  strings.Repeat(`{"records":[`, 50_000), "unknown field": `{"` + canary + `":1}`, "unknown field, in an id": `{"` + person + `":"` + canary + `"}`,
	"twice a key": `{"patient_id":"a","patient_id":"b","project_id":"c","project_id":"d","records":[],"records":[]}`,
	"other types": `{"patient_id":7,"project_id":{"a":"` + canary + `"},"records":"` + canary + `"}`,
	"NaN":         `{"heart_rate":{"beats_per_minute":NaN},"records":NaN}`, "hexadecimal": `{"heart_rate":{"beats_per_minute":0x46},"records":0x46}`,
	"a million keys": `{` + strings.TrimSuffix(strings.Repeat(`"a":0,`, 160_000), ",") + `}`,
}

func (h *hostile) malformedBodies(t *testing.T) {
	for _, path := range h.posts() {
		for name, body := range malformed {
			refusedBody(t, h.w.admin, path, name, []byte(body))
		}
		refusedBody(t, h.w.admin, path, "not gzip", []byte(canary), "Content-Encoding", "gzip")
		refusedBody(t, h.w.admin, path, "half of gzip", gzipped(t, &endless{text: canary, size: 1 << 16})[:60], "Content-Encoding", "gzip")
		refusedBody(t, h.w.admin, path, "other encoding", []byte(canary), "Content-Encoding", "br")
		refusedBody(t, h.w.admin, path, "twice encoded", []byte(canary), "Content-Encoding", "gzip, gzip")
	}
	for _, value := range []string{
		"1e999999999", "1e-999999999", strings.Repeat("9", 5000), "0." + strings.Repeat("0", 5000) + "1", "-70", "070", "+70", "70.", ".7", "1e", "--1", "70 70", `"70"`, "true", "[]",
	} {
		body := `{"measurement_time":"2026-05-01T08:00:00Z","heart_rate":{"beats_per_minute":` + value + `}}`
		refusedBody(t, h.w.admin, h.path+"/vitals", fmt.Sprintf("the number %.20s", value), []byte(body))
	}
	for _, id := range []string{`"` + strings.Repeat("x", 65) + `"`, `"a/b"`, `".."`, `"a b"`, `"ä"`, `"a\u0000"`, `"%2e"`, `"` + person + `\n"`, `5`} {
		refusedBody(t, h.w.admin, h.w.path+"/subjects", "the id "+id, []byte(`{"site_id":"s1","patient_id":`+id+`}`))
		refusedBody(t, h.w.admin, h.path+"/vitals", "the id "+id, []byte(`{"measurement_time":"2026-05-01T08:00:00Z","heart_rate":{"beats_per_minute":70},"client_record_id":`+id+`}`))
	}
	refusedBody(t, h.w.admin, h.path+"/vitals", "another patient than the path's", []byte(`{"patient_id":"`+person+`","heart_rate":{"beats_per_minute":70}}`))
	refusedBody(t, h.w.admin, h.path+"/vitals:batch", "1001 records", []byte(`{"records":[`+strings.TrimSuffix(strings.Repeat("{},", 1001), ",")+`]}`))
}

// refusedBody sends a body, and wants 400 with something named: the body as a
// whole or fields.
func refusedBody(t *testing.T, a *api, path, name string, body []byte, header ...string) {
	t.Helper()
	for _, language := range []string{"en", "zh"} {
		r := a.send(t, http.MethodPost, path, bytes.NewReader(body), append(header, "Accept-Language", language)...)
		if r.status != 400 {
			t.Errorf("%s, %s: status %d: %.300s", path, name, r.status, r.body)
			return
		}
		if reason := r.problem(t); reason != "BODY_INVALID" && reason != "FIELD_INVALID" {
			t.Errorf("%s, %s: reason %s", path, name, reason)
		}
		text := r.object(t)["detail"].(string)
		if han := strings.ContainsFunc(text, func(c rune) bool { return unicode.Is(unicode.Han, c) }); han != (language == "zh") {
			t.Errorf("%s, %s: in %s the detail is %q", path, name, language, text)
		}
		if len(r.body) > 64<<10 {
			t.Errorf("%s, %s: the refusal has %d bytes", path, name, len(r.body))
		}
	}
}

// paths that try to leave their project, or that hold what no identifier does.
func (h *hostile) paths(t *testing.T) {
	other := newWorld(t)
	own := h.w.as(t, "investigator")
	long := strings.Repeat("x", 65)
	for path, statuses := range map[string][]int{
		h.w.path + "%2Fsubjects":                          {400, 404},
		h.w.path + "/subjects/a%2Fb":                      {400, 404},
		h.w.path + "/subjects/" + h.patient + "%2Fvitals": {400, 404},
		h.w.path + "/subjects/..%2f..%2f" + other.project: {400, 403, 404},
		h.w.path + "/../" + other.project:                 {400, 403, 404},
		h.w.path + "/subjects/../../" + other.project:     {400, 403, 404},
		h.w.path + "/%2e%2e/" + other.project:             {400, 403, 404},
		h.w.path + "/subjects/%2e%2e":                     {400, 404},
		h.w.path + "/subjects/%00":                        {400, 404},
		h.w.path + "/subjects/%0d%0aX-Evil:1":             {400, 404},
		h.w.path + "/subjects/%ff%fe":                     {400, 404},
		h.w.path + "/subjects/%E5%BC%A0" + person:         {400, 404},
		h.w.path + "/subjects/" + long:                    {400, 404},
		h.w.path + "/subjects/" + h.patient + ".":         {404},
		h.w.path + "/subjects/" + person + "/vitals":      {404},
		h.w.path + "/subjects/" + h.patient + "/x":        {404},
		h.w.path + "/" + canary:                           {404},
		"/v1/projects/a.b_c-d":                            {403},
		"/v1/projects/" + long:                            {400},
		"/" + canary + strings.Repeat("/x", 500):          {404},
		"/" + strings.Repeat("x", 30_000):                 {404},
		"/v2/projects":                                    {404},
		"/docs/errors/" + canary:                          {404},
		"/docs/..%2f..%2fetc%2fpasswd":                    {400, 404},
		"/docs/../../../etc/passwd":                       {400, 404},
		"/.git/config":                                    {404},
		"/debug/pprof/":                                   {404},
		"/metrics":                                        {404},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := own.send(t, method, path, strings.NewReader("{}"), "Accept-Language", "zh")
			if method == http.MethodPost && (r.status == 405 || r.status == 400) {
				r.problem(t)
				continue
			}
			if !slices.Contains(statuses, r.status) {
				t.Errorf("%s %.100s: status %d, want one of %v: %.200s", method, path, r.status, statuses, r.body)
				continue
			}
			r.problem(t)
		}
	}
}

// routeMethods are the patterns of DESIGN and what they take.
func (h *hostile) routeMethods() map[string]string {
	return map[string]string{
		"/healthz": "GET", "/readyz": "GET", "/docs": "GET", "/openapi.yaml": "GET",
		"/v1/uploads": "OPTIONS, POST", "/v1/uploads/x": "DELETE, HEAD, PATCH",
		"/v1/projects": "GET, POST", h.w.path: "GET", h.w.path + "/sites": "GET, POST", h.w.path + "/subjects": "GET, POST",
		h.path: "GET", h.path + ":withdraw": "POST", h.path + "/vitals": "GET, POST", h.path + "/vitals:batch": "POST",
		h.path + "/images": "GET, PUT", h.path + "/images/x": "GET", h.path + "/reports": "GET, POST", h.path + "/medications": "GET, POST",
	}
}

// methods that a path does not take get 405 and the list of those that it does.
func (h *hostile) methods(t *testing.T) {
	for path, allow := range h.routeMethods() {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"} {
			if slices.Contains(strings.Split(allow, ", "), method) || method == "GET" && strings.HasSuffix(path, ":withdraw") { // GET reads that as an id.
				continue
			}
			r := h.w.admin.send(t, method, path, nil)
			if r.status != 405 {
				t.Errorf("%s %s: status %d: %.200s", method, path, r.status, r.body)
				continue
			}
			got := strings.Split(r.header.Get("Allow"), ", ")
			slices.Sort(got)
			if strings.Join(got, ", ") != allow {
				t.Errorf("%s %s: Allow is %q, want %s", method, path, r.header.Get("Allow"), allow)
			}
			if method != "HEAD" && r.problem(t) != "METHOD_NOT_ALLOWED" {
				t.Errorf("%s %s: %s", method, path, r.body)
			}
		}
	}
	refused(t, 405, "METHOD_NOT_ALLOWED", func(language string) reply {
		return h.w.admin.send(t, http.MethodDelete, h.path, strings.NewReader(canary), "Accept-Language", language)
	})
	refused(t, 404, "ROUTE_NOT_FOUND", func(language string) reply {
		return h.w.admin.post(t, h.path+":"+canary, object{}, "Accept-Language", language)
	})
}

// eventStream: headers that change how frameworks answer change nothing here.
func (h *hostile) eventStream(t *testing.T) {
	nobody := &api{http: h.w.admin.http}
	for path, allow := range h.routeMethods() {
		for _, method := range strings.Split(allow, ", ") {
			for _, a := range []*api{h.w.admin, nobody} {
				// A body that each route refuses, so that nothing is made twice.
				plain := a.send(t, method, path, strings.NewReader(`{"`+canary+`":1}`))
				for _, header := range [][2]string{{"Accept", "text/event-stream"}, {"Upgrade", "websocket"}, {"Accept", canary}} {
					r := protocols(a)["HTTP/1.1"].send(t, method, path, strings.NewReader(`{"`+canary+`":1}`), header[0], header[1])
					if r.status != plain.status || r.header.Get("Content-Type") != plain.header.Get("Content-Type") {
						t.Errorf("%s %s with %s %s: status %d (%s), without it %d (%s)", method, path, header[0], header[1],
							r.status, r.header.Get("Content-Type"), plain.status, plain.header.Get("Content-Type"))
					}
					if r.status >= 400 && !strings.HasPrefix(path, "/v1/uploads") { // Tus has texts of its own.
						r.problem(t)
					}
				}
			}
		}
	}
}

// requestIDs from outside are taken if they are plain, else replaced.
func (h *hostile) requestIDs(t *testing.T) {
	good := "ours-" + strings.ToLower(rand.Text())
	if r := h.w.admin.get(t, h.w.path, "X-Request-Id", good); r.header.Get("X-Request-Id") != good {
		t.Errorf("the caller's own request id became %q", r.header.Get("X-Request-Id"))
	}
	if !strings.Contains(theSuite.logs(t), good) {
		t.Error("the caller's own request id is in no log")
	}
	for _, id := range []string{
		canary + " x", `","level":"error","` + canary, "<script>" + canary, canary + "\tx", strings.Repeat("x", 65), "ü" + canary, canary + "/..", "",
	} {
		r := h.w.admin.get(t, h.w.path+"/nothing", "X-Request-Id", id)
		if got := r.header.Get("X-Request-Id"); got == id || got == "" || strings.Contains(got, canary) || len(got) > 64 {
			t.Errorf("the request id %q was answered by %q", id, got)
		}
		r.problem(t)
	}
}

// headers within the bound are read, whatever they hold; beyond it the
// connection's own limit answers, before there is a request.
func (h *hostile) headers(t *testing.T) {
	for protocol, a := range protocols(h.w.admin) {
		if r := a.get(t, h.w.path, "X-Filler", strings.Repeat("x", 40<<10)); r.status != 200 {
			t.Errorf("%s, 40 KiB of header: status %d: %.200s", protocol, r.status, r.body)
		}
		r, err := a.try(http.MethodGet, h.w.path, nil, "X-Filler", strings.Repeat(canary, 100<<10))
		if err == nil && r.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s, 1.2 MiB of header: status %d: %.200s", protocol, r.status, r.body)
		}
	}
	for _, language := range []string{"", "zh;q=x", strings.Repeat("zh,", 10_000), "*", ";;;,,,q=", "zh;q=NaN, en;q=-1", canary, "\u00ff"} {
		r := h.w.admin.get(t, h.w.path+"/nothing", "Accept-Language", language)
		if r.status != 404 {
			t.Errorf("Accept-Language %.40q: status %d", language, r.status)
		}
		r.problem(t)
	}
}

// startSlow opens connections that send a little and then stand still, and gives
// the test that they were ended in time, while others were served.
func (h *hostile) startSlow(t *testing.T) func(*testing.T) {
	t.Helper()
	const each = 20
	head := "POST " + h.path + "/vitals HTTP/1.1\r\nHost: " + gatewayAddr + "\r\nX-" + canary + ": 1\r\n"
	half := head + "Authorization: Bearer " + h.w.admin.token + "\r\nContent-Length: 1000\r\n\r\n{\"" + canary
	ended := make(chan string, 2*each)
	var longest atomic.Int64
	for range each {
		for _, text := range []string{head, half} {
			go func() {
				begun := time.Now()
				answer := stalled(text)
				if took := int64(time.Since(begun)); took > longest.Load() {
					longest.Store(took)
				}
				ended <- answer
			}()
		}
	}
	return func(t *testing.T) {
		heads, bodies := 0, 0
		for range 2 * each {
			switch answer := <-ended; {
			case answer == "": // The head never came: there is no request to answer.
				heads++
			case strings.HasPrefix(answer, "HTTP/1.1 504 ") || strings.HasPrefix(answer, "HTTP/1.1 400 "):
				bodies++
			case strings.HasPrefix(answer, "HTTP/1.1 408 "):
				heads++
			default:
				t.Errorf("a slow caller was answered %.300q", answer)
			}
		}
		if heads != each || bodies != each {
			t.Errorf("%d connections without a head and %d without a body were ended, want %d each", heads, bodies, each)
		}
		t.Logf("the last was ended after %v", time.Duration(longest.Load()))
	}
}

// longestStall is the 15 s that etc/project-api.yaml gives a request and the 5 s that
// the gateway reads on after a refusal, with room for a busy machine. A head
// has 10 s.
const longestStall = 25 * time.Second

// stalled sends a text and reads until the gateway ends the connection.
func stalled(text string) (answer string) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		RootCAs: transport().TLSClientConfig.RootCAs, ServerName: "project-api",
	}}
	conn, err := dialer.Dial("tcp", gatewayAddr)
	if err != nil {
		return "dial: " + err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longestStall))
	if _, err := io.WriteString(conn, text); err != nil {
		return "write: " + err.Error()
	}
	data, err := io.ReadAll(bufio.NewReader(conn))
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "nothing within " + longestStall.String()
	}
	return string(data)
}
