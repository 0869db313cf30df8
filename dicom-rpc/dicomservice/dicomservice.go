// Package dicomservice is the client of dicom.DicomService: what other services and the
// gateway import. Every call needs a deadline.
package dicomservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	dicompb "clinsource/proto/dicom"
)

// DicomService is the service as its callers see it.
type DicomService = dicompb.DicomServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (DicomService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicyExcept(dicompb.DicomService_ServiceDesc.ServiceName, "CreateUpload"))
	if err != nil {
		return nil, err
	}
	return NewDicomService(conn), nil
}

// NewDicomService makes a client on a zRPC connection, as goctl's clients do.
func NewDicomService(conn zrpc.Client) DicomService {
	return dicompb.NewDicomServiceClient(conn.Conn())
}
