// Package accessservice is the client of access.AccessService: what the gateway
// imports. Every call needs a deadline.
package accessservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	accesspb "clinsource/proto/access"
)

// AccessService is the service as its callers see it.
type AccessService = accesspb.AccessServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (AccessService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(accesspb.AccessService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewAccessService(conn), nil
}

// NewAccessService makes a client on a zRPC connection, as goctl's clients do.
func NewAccessService(conn zrpc.Client) AccessService {
	return accesspb.NewAccessServiceClient(conn.Conn())
}
