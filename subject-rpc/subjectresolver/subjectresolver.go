// Package subjectresolver is the client of subject.SubjectResolver: what other services and the
// gateway import. Every call needs a deadline.
package subjectresolver

import (
	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/rpcclient"
	subjectpb "clinsource/proto/subject"
)

// SubjectResolver is the service as its callers see it.
type SubjectResolver = subjectpb.SubjectResolverClient

// New makes a client by config; it finds its servers through etcd and retries
// what the contract calls retry safe.
func New(c rpcclient.Config) (SubjectResolver, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(subjectpb.SubjectResolver_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return NewSubjectResolver(conn), nil
}

// NewSubjectResolver makes a client on a zRPC connection, as goctl's clients do.
func NewSubjectResolver(conn zrpc.Client) SubjectResolver {
	return subjectpb.NewSubjectResolverClient(conn.Conn())
}
