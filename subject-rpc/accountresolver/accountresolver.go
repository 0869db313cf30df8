// Package accountresolver is the client of access.AccountResolver: what other
// services and the gateway import, to ask what the account of a token may do.
package accountresolver

import (
	"context"

	"clinsource/internal/accounts"
	"clinsource/internal/auth"
	"clinsource/internal/rpcclient"
	accesspb "clinsource/proto/access"
)

// New makes a client by config that remembers answers, and forgets them when the
// registry says through etcd that something has changed.
func New(c rpcclient.Config) (*accounts.Cache, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(accesspb.AccountResolver_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	etcd, err := rpcclient.EtcdOf(c)
	if err != nil {
		return nil, err
	}
	cache := accounts.NewCache(Ask(accesspb.NewAccountResolverClient(conn.Conn())))
	etcd.OnSignal(accounts.Changed, cache.Age)
	return cache, nil
}

// Ask makes the question of a cache out of the RPC.
func Ask(client accesspb.AccountResolverClient) accounts.Ask {
	return func(ctx context.Context, issuer, subject string) (auth.Account, error) {
		resp, err := client.ResolveAccount(ctx, &accesspb.ResolveAccountRequest{Issuer: issuer, Sub: subject})
		if err != nil {
			return auth.Account{}, err
		}
		a := auth.Account{Disabled: resp.GetDisabled()}
		for _, g := range resp.GetRights().GetGrants() {
			own := auth.Grant{Role: auth.Role(g.GetRole()), Project: g.GetProjectId(), Sites: g.GetSiteIds(), Patient: g.GetPatientId()}
			if g.GetUntilTime() != nil {
				own.Until = g.GetUntilTime().AsTime()
			}
			a.Grants = append(a.Grants, own)
		}
		return a, nil
	}
}
