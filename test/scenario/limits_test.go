package scenario

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// from gives a client at another address of the loopback: what it is locked out
// for, no other test is.
func from(address string, token string) *api {
	own := transport().Clone()
	own.DialContext = (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	return &api{token: token, http: &http.Client{Transport: own}}
}

// Four hundred requests at once of one caller are an honest app's.
func TestHundredsOfRequestsAtOnceOfOneCaller(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	var refused atomic.Int64
	for range 400 {
		all.Go(func() {
			r, err := w.admin.try(http.MethodGet, w.path+"/subjects", nil)
			if err != nil || r.status == http.StatusTooManyRequests {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d of 400 requests at once are refused", n)
	}
}

// Who guesses tokens is answered 429 and nothing is verified; who works at the
// same address goes on.
func TestGuessingTokensLocksTheAddressOut(t *testing.T) {
	w := newWorld(t)
	nurse := from("127.0.0.9", token(t, "--role", "admin", "--project", w.project))
	nurse.get(t, w.path+"/subjects").want(t, 200)
	good := strings.Split(nurse.token, ".")
	locked := reply{}
	for n := range 500 {
		guess := from("127.0.0.9", "")
		guess.http = nurse.http
		guess.token = good[0] + "." + good[1][:len(good[1])-2] + fmt.Sprintf("%02d", n%100) + "." + good[2]
		r := guess.get(t, w.path+"/subjects")
		if r.status == http.StatusTooManyRequests {
			locked = r
			break
		}
		r.want(t, 401)
	}
	if got := locked.problem(t); got != "LOCKED_OUT" || locked.header.Get("Retry-After") == "" {
		t.Errorf("500 guesses end with %d %s, Retry-After %q", locked.status, got, locked.header.Get("Retry-After"))
	}
	nurse.get(t, w.path+"/subjects").want(t, 200)
	renewed := &api{token: token(t, "--role", "admin", "--project", w.project), http: nurse.http}
	renewed.get(t, w.path+"/subjects").want(t, 200)
	w.admin.get(t, w.path+"/subjects").want(t, 200) // Another address.
}

func TestTooManyHeadersAreAProblem(t *testing.T) {
	w := newWorld(t)
	many := make([]string, 0, 220)
	for n := range 110 {
		many = append(many, fmt.Sprintf("X-Nothing-%d", n), "x")
	}
	for protocol, a := range protocols(w.admin) {
		for name, header := range map[string][]string{"110 headers": many, "49 KiB": {"X-Nothing", strings.Repeat("x", 49<<10)}} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				refused(t, 431, "HEADERS_TOO_LARGE", func(language string) reply {
					return a.get(t, w.path, append(header[:len(header):len(header)], "Accept-Language", language)...)
				})
			})
		}
		r, err := a.try(http.MethodGet, w.path, nil, "X-Nothing", strings.Repeat("x", 200<<10))
		if err == nil && r.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: 200 KiB of headers: %d", protocol, r.status)
		}
	}
}
