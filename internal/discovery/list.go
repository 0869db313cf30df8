package discovery

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Registered gives the addresses that are registered under key now, asked of
// etcd: for whoever looks on, not for whoever calls.
func (c *Client) Registered(ctx context.Context, key string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.pace.call)
	defer cancel()
	resp, err := c.etcd.Get(ctx, prefix(key), clientv3.WithPrefix())
	for isAuthOld(err) && sleep(ctx, c.pace.retryMin) { // Its users are being changed, as at a suite's start.
		resp, err = c.etcd.Get(ctx, prefix(key), clientv3.WithPrefix())
	}
	if err != nil {
		return nil, fmt.Errorf("read what is registered under %s: %w", key, err)
	}
	return addressesIn(resp), nil
}

// isAuthOld says that etcd's users changed between its check of a request and the
// request itself.
func isAuthOld(err error) bool { return errors.Is(err, rpctypes.ErrAuthOldRevision) }

// Member is one etcd server as it describes itself.
type Member struct {
	Version string
	Leader  bool  // It leads.
	Follows bool  // It knows a leader.
	Bytes   int64 // Of its database.
	Alarms  []string
}

// Member asks the etcd server at this endpoint, one of the client's hosts.
func (c *Client) Member(ctx context.Context, endpoint string) (Member, error) {
	ctx, cancel := context.WithTimeout(ctx, c.pace.call)
	defer cancel()
	s, err := c.etcd.Status(ctx, endpoint)
	if err != nil {
		return Member{}, err
	}
	return Member{
		Version: s.Version, Leader: s.Leader == s.Header.GetMemberId(), Follows: s.Leader != 0, Bytes: s.DbSize, Alarms: s.Errors,
	}, nil
}
