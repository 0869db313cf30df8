// Package vitalsservice is the client of vitals.VitalsService: what other services and the
// gateway import. Every call needs a deadline.
package vitalsservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	vitalspb "clinsource/proto/vitals"
)

// VitalsService is the service as its callers see it.
type VitalsService = vitalspb.VitalsServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (VitalsService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(vitalspb.VitalsService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewVitalsService(conn), nil
}

// NewVitalsService makes a client on a zRPC connection, as goctl's clients do.
func NewVitalsService(conn zrpc.Client) VitalsService {
	return vitalspb.NewVitalsServiceClient(conn.Conn())
}
