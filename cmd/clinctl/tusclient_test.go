package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a tus server that does to a client what lines and crashes do.
type server struct {
	mu      sync.Mutex
	data    []byte
	size    int
	exists  bool
	created int
	twice   int                                               // Bytes that came though they were there.
	trouble func(w http.ResponseWriter, r *http.Request) bool // Answers instead; nil: none.
	lose    func(got int) bool                                // Cuts the line in the middle of a body.
	refuse  string                                            // Of the whole file: the problem.
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("Tus-Resumable") != "1.0.0" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if s.trouble != nil && s.trouble(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		s.size, _ = strconv.Atoi(r.Header.Get("Upload-Length"))
		if !s.exists {
			s.exists, s.data = true, nil
			s.created++
		}
		w.Header().Set("Location", "/v1/uploads/u")
		s.answer(w, http.StatusCreated)
	case !s.exists:
		http.Error(w, "ERR_UPLOAD_NOT_FOUND: upload not found", http.StatusNotFound)
	case s.refuse != "" && len(s.data) == s.size:
		http.Error(w, "ERR_UPLOAD_REFUSED: "+s.refuse, http.StatusGone)
	case r.Method == http.MethodHead:
		s.answer(w, http.StatusOK)
	case r.Header.Get("Upload-Offset") != strconv.Itoa(len(s.data)):
		at, _ := strconv.Atoi(r.Header.Get("Upload-Offset"))
		if r.ContentLength > 0 {
			s.twice += len(s.data) - at
		}
		http.Error(w, "ERR_MISMATCHED_OFFSET: mismatched offset", http.StatusConflict)
	default:
		s.take(w, r)
	}
}

func (s *server) take(w http.ResponseWriter, r *http.Request) {
	piece := make([]byte, 64<<10)
	for got := 0; ; {
		n, err := r.Body.Read(piece)
		s.data = append(s.data, piece[:n]...)
		got += n
		if s.lose != nil && s.lose(got) {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			break
		}
	}
	if s.refuse != "" && len(s.data) == s.size {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":400,"reason":"IMAGE_REFUSED","detail":"a long sentence","request_id":"r","errors":[{"field":"file","rule":"dicom.truncated","message":"m"}]}`)
		return
	}
	s.answer(w, http.StatusNoContent)
}

func (s *server) answer(w http.ResponseWriter, status int) {
	w.Header().Set("Upload-Offset", strconv.Itoa(len(s.data)))
	if len(s.data) == s.size && s.refuse == "" {
		w.Header().Set("Clinsource-Image-Id", "i")
		w.Header().Set("Clinsource-Image-Created", "true")
		w.Header().Set("Clinsource-Image-Findings", "dicom.a, dicom.b")
	}
	w.WriteHeader(status)
}

// send sends data to the server as clinctl does.
func send(t *testing.T, s *server, data []byte, patience time.Duration) (image, *sending, error) {
	t.Helper()
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	sending := &sending{g: &gateway{url: listening.URL, token: "token", http: listening.Client()}, body: bytes.NewReader(data), size: int64(len(data)),
		metadata: uploadMetadata([2]string{"resume", "true"}), patience: patience, moved: func(int64) {}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := sending.run(ctx)
	return got, sending, err
}

func bytesOf(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{7})
	_, _ = source.Read(data)
	return data
}

// Whatever happens on the way, all bytes come, none that was synced comes twice,
// and the image is told.
func TestSendingGoesOn(t *testing.T) {
	const size = 1 << 20
	count := func(status int, text string, times int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost || times == 0 {
				return false
			}
			times--
			http.Error(w, text, status)
			return true
		}
	}
	for name, s := range map[string]*server{
		"nothing happens":    {},
		"the line is cut":    {lose: func(got int) bool { return got > 200_000 }},
		"it is away":         {trouble: count(503, "no problem document", 3)},
		"a proxy is away":    {trouble: count(502, "bad gateway", 2)},
		"its own fault":      {trouble: count(500, "ERR_X: y", maxFaults-1)},
		"locked":             {trouble: count(423, "ERR_UPLOAD_LOCKED: y", 2)},
		"taken over":         {trouble: count(400, "ERR_UPLOAD_INTERRUPTED: y", 1)},
		"it was begun":       {exists: true, size: size, data: bytesOf(size)[:300_000]},
		"it is there":        {exists: true, size: size, data: bytesOf(size)},
		"it cannot be found": {trouble: count(404, "ERR_UPLOAD_NOT_FOUND: y", 1)},
		"it expired":         {trouble: count(410, "ERR_UPLOAD_EXPIRED: y", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			got, sending, err := send(t, s, bytesOf(size), time.Minute)
			if err != nil || got.ImageID != "i" || !got.Created || len(got.Findings) != 2 {
				t.Fatalf("%+v, %v", got, err)
			}
			if !bytes.Equal(s.data, bytesOf(size)) || s.twice != 0 {
				t.Errorf("%d bytes came, %d of them twice", len(s.data), s.twice)
			}
			if there := map[string]int64{"it was begun": 300_000, "it is there": size}[name]; sending.resumed != there || s.lose == nil && sending.sent > 3*(size-there) {
				t.Errorf("%d bytes were there, %d were sent", sending.resumed, sending.sent)
			}
		})
	}
}

// A sending that makes no progress is given up after its patience, one that is
// refused at once; what is told is the last answer.
func TestSendingGivesUp(t *testing.T) {
	always := func(status int, contentType, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	const problemJSON = `{"status":404,"reason":"SUBJECT_NOT_FOUND","detail":"d"}`
	for name, c := range map[string]struct {
		server *server
		want   string
		waits  bool
	}{
		"away for ever": {&server{trouble: always(503, "text/plain", "ERR_AWAY: x")}, "503 ERR_AWAY", true},
		"takes nothing": {&server{trouble: func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				panic(http.ErrAbortHandler)
			}
			return false
		}}, "Patch", true},
		"its own fault":      {&server{trouble: always(500, "text/plain", "ERR_X: y")}, "500 ERR_X", false},
		"no right":           {&server{trouble: always(403, "text/plain", "x: y")}, "403 x", false},
		"no such subject":    {&server{trouble: always(404, "application/problem+json", problemJSON)}, "404 SUBJECT_NOT_FOUND", false},
		"never to be found":  {&server{trouble: always(404, "text/plain", "ERR_UPLOAD_NOT_FOUND: x")}, "404 ERR_UPLOAD_NOT_FOUND", false},
		"no tus server":      {&server{trouble: always(200, "text/html", "<html>")}, "is this the gateway?", false},
		"refused":            {&server{refuse: "part is missing"}, "400 IMAGE_REFUSED: a long sentence", false},
		"refused long since": {&server{refuse: "part is missing", exists: true, size: 1 << 20, data: bytesOf(1 << 20), trouble: nil}, "410 ERR_UPLOAD_REFUSED: part is missing", false},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			_, _, err := send(t, c.server, bytesOf(1<<20), 500*time.Millisecond)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.waits && time.Since(begun) < 500*time.Millisecond {
				t.Errorf("given up after %v", time.Since(begun))
			}
		})
	}
}

// A file that becomes shorter while it is sent is told so.
func TestSendingOfAShrinkingFile(t *testing.T) {
	s := &server{}
	listening := httptest.NewServer(s)
	defer listening.Close()
	sending := &sending{g: &gateway{url: listening.URL, token: "token", http: listening.Client()}, body: bytes.NewReader(bytesOf(1000)), size: 2000,
		patience: time.Minute, moved: func(int64) {}}
	if _, err := sending.run(t.Context()); !errors.Is(err, errShrunk) {
		t.Errorf("got %v", err)
	}
}

// The token goes to the gateway only, wherever an answer's Location leads.
func TestSendingStaysWithTheGateway(t *testing.T) {
	s := &server{trouble: func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Location", "https://elsewhere.example/v1/uploads/u")
		w.Header().Set("Upload-Offset", "0")
		w.WriteHeader(http.StatusCreated)
		return true
	}}
	if _, _, err := send(t, s, bytesOf(10), time.Second); err == nil || !strings.Contains(err.Error(), "no path of the gateway") {
		t.Errorf("got %v", err)
	}
}
