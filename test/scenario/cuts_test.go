package scenario

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cutter is a line to the gateway that breaks: each connection is reset after a
// number of bytes from the caller, until the line is mended.
type cutter struct {
	listener net.Listener
	least    int // Bytes from the caller that a connection takes at least.
	spread   int // And at most this many more.
	mended   atomic.Bool
	cuts     atomic.Int64
	mu       sync.Mutex
	random   *rand.Rand
}

// newCutter opens the line; it is closed with the test.
func newCutter(t testing.TB, seed uint64, least, spread int) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, least: least, spread: spread, random: rand.New(rand.NewPCG(seed, seed))}
	var lines sync.WaitGroup
	lines.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			lines.Go(func() { c.carry(t.Context(), conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); lines.Wait() })
	return c
}

func (c *cutter) url() string { return "https://" + c.listener.Addr().String() }

// carry copies both ways, until one side ends or the line breaks.
func (c *cutter) carry(ctx context.Context, caller *net.TCPConn) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", gatewayAddr)
	if err != nil {
		_ = caller.SetLinger(0)
		_ = caller.Close()
		return
	}
	gateway := conn.(*net.TCPConn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(caller, gateway)
		_ = caller.Close()
	}()
	c.mu.Lock()
	takes := int64(c.least + c.random.IntN(c.spread))
	abrupt := c.random.IntN(2) == 0
	c.mu.Unlock()
	_, err = io.CopyN(gateway, slowly{caller}, takes)
	if err == nil && c.mended.Load() {
		_, _ = io.Copy(gateway, slowly{caller})
	} else if err == nil {
		c.cuts.Add(1)
		if abrupt { // Reset: what is under way is lost on both sides.
			_ = gateway.SetLinger(0)
			_ = caller.SetLinger(0)
		}
	}
	_, _ = gateway.Close(), caller.Close()
	<-done
}

// slowly is a line of some 6 MB/s, so that cuts fall into the middle of uploads.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.Reader.Read(p[:min(len(p), 32<<10)])
}
