package discovery

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// signalPrefix begins the keys of signals. No service's key begins like it.
const signalPrefix = "signals/"

// A watch for signals is made anew after this time: one that etcd's history was
// replaced under (data wiped) would otherwise wait for a revision that is gone.
const signalWatchFor = time.Minute

// Signal tells all who listen to topic that something has changed; it says
// nothing of what. It is a courtesy that makes others look at once: they must be
// right, only later, without it.
func (c *Client) Signal(ctx context.Context, topic string) error {
	bounded, cancel := context.WithTimeout(ctx, c.pace.call)
	defer cancel()
	if _, err := c.etcd.Put(bounded, signalPrefix+topic, ""); err != nil {
		return fmt.Errorf("signal %s: %w", topic, err)
	}
	return nil
}

// OnSignal calls f for each signal of topic until Close, and whenever it begins
// to listen anew, since it may have missed one. f must be quick.
func (c *Client) OnSignal(topic string, f func()) {
	c.background(func() {
		for {
			watching, stop := context.WithTimeout(clientv3.WithRequireLeader(c.life), signalWatchFor)
			for resp := range c.etcd.Watch(watching, signalPrefix+topic, clientv3.WithCreatedNotify()) {
				if resp.Err() != nil {
					break
				}
				f()
			}
			stop()
			if !sleep(c.life, c.pace.retryMin) {
				return
			}
		}
	})
}
