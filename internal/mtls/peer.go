package mtls

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// PeerName gives the name of the process on the other side of an incoming
// call: the first DNS SAN of the leaf that the handshake verified. It is false
// for a call that came without one.
func PeerName(ctx context.Context) (string, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return "", false
	}
	chains := info.State.VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 || len(chains[0][0].DNSNames) == 0 {
		return "", false
	}
	return chains[0][0].DNSNames[0], true
}
