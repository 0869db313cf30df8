// Package eproservice is the client of epro.EproService: what other services and the
// gateway import. Every call needs a deadline.
package eproservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	epropb "clinsource/proto/epro"
)

// EproService is the service as its callers see it.
type EproService = epropb.EproServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (EproService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(epropb.EproService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewEproService(conn), nil
}

// NewEproService makes a client on a zRPC connection, as goctl's clients do.
func NewEproService(conn zrpc.Client) EproService {
	return epropb.NewEproServiceClient(conn.Conn())
}
