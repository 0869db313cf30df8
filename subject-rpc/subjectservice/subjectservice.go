// Package subjectservice is the client of subject.SubjectService: what other services and the
// gateway import. Every call needs a deadline.
package subjectservice

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	subjectpb "clinsource/proto/subject"
)

// SubjectService is the service as its callers see it.
type SubjectService = subjectpb.SubjectServiceClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (SubjectService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(subjectpb.SubjectService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewSubjectService(conn), nil
}

// NewSubjectService makes a client on a zRPC connection, as goctl's clients do.
func NewSubjectService(conn zrpc.Client) SubjectService {
	return subjectpb.NewSubjectServiceClient(conn.Conn())
}
