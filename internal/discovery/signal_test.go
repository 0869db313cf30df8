package discovery

import (
	"context"
	"testing"
	"time"
)

// A signal reaches whoever listens, and only of its topic.
func TestSignal(t *testing.T) {
	etcd := startEtcd(t)
	sender, listener := etcd.newClient(productionPace), etcd.newClient(productionPace)
	heard := make(chan struct{}, 100)
	listener.OnSignal("subjects", func() { heard <- struct{}{} })
	wait := func() bool {
		select {
		case <-heard:
			return true
		case <-time.After(10 * time.Second):
			return false
		}
	}
	if !wait() {
		t.Fatal("beginning to listen is a signal: one may have been missed")
	}
	send := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := sender.Signal(ctx, "others"); err != nil {
			t.Fatal(err)
		}
		if err := sender.Signal(ctx, "subjects"); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if !wait() {
		t.Fatal("the signal was not heard")
	}
	select {
	case <-heard:
		t.Fatal("a signal of another topic was heard")
	case <-time.After(200 * time.Millisecond):
	}
}
