// Package medicationservice is the client of medication.MedicationService: what other services and the
// gateway import. Every call needs a deadline.
package medicationservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	medicationpb "clinsource/proto/medication"
)

// MedicationService is the service as its callers see it.
type MedicationService = medicationpb.MedicationServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (MedicationService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(medicationpb.MedicationService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewMedicationService(conn), nil
}

// NewMedicationService makes a client on a zRPC connection, as goctl's clients do.
func NewMedicationService(conn zrpc.Client) MedicationService {
	return medicationpb.NewMedicationServiceClient(conn.Conn())
}
