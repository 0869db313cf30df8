package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"google.golang.org/grpc/credentials"
)

// ClientFiles is the `Tls:` block of a client. All four are required; paths
// are relative to the working directory.
type ClientFiles struct {
	// ServerName is the process that answers: a DNS SAN of its certificate,
	// such as vitals-rpc. The address found by discovery plays no part.
	ServerName string `json:"ServerName"`
	// CaFile holds the authorities that issue the servers' certificates, PEM.
	CaFile string `json:"CaFile"`
	// CertFile is the caller's own certificate, PEM, not the server's.
	CertFile string `json:"CertFile"`
	// KeyFile is the private key of CertFile, PEM.
	KeyFile string `json:"KeyFile"`
}

// Client is one process's side of outgoing mutual TLS to one server name.
type Client struct {
	serverName string
	source     *source
}

// NewClient loads and checks the files. The error names the file and the
// reason: missing, key of another certificate, expired, no DNS SAN, no
// clientAuth, no certificate authority.
func NewClient(f ClientFiles, opts ...Option) (*Client, error) {
	if err := require("client Tls",
		[2]string{"ServerName", f.ServerName}, [2]string{"CaFile", f.CaFile},
		[2]string{"CertFile", f.CertFile}, [2]string{"KeyFile", f.KeyFile},
	); err != nil {
		return nil, err
	}
	s, err := openSource(paths{f.CertFile, f.KeyFile, f.CaFile}, x509.ExtKeyUsageClientAuth, opts)
	if err != nil {
		return nil, err
	}
	return &Client{f.ServerName, s}, nil
}

// TLSConfig gives a configuration that follows the files, for gRPC and for
// etcd's clientv3: TLS 1.3, own certificate, the server verified against the
// current CA file and the server name. VerifiedChains stays empty in the
// connection state of a client.
func (c *Client) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		ServerName: c.serverName,
		Time:       c.source.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.source.current().pair, nil
		},
		// crypto/tls has no hook to replace RootCAs for one connection, so
		// its verification is switched off and verify does all of it with
		// the pool of the moment. VerifyConnection runs on every connection.
		InsecureSkipVerify: true, //nolint:gosec // G402: see above; matrix_test.go holds the refusals
		VerifyConnection:   c.verify,
	}
}

// Credentials gives TLSConfig in the form that grpc.WithTransportCredentials takes.
func (c *Client) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(c.TLSConfig())
}

// verify is what crypto/tls does for a client with RootCAs: chain, validity,
// extended key usage and host name.
func (c *Client) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("mtls: the server showed no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots:         c.source.current().pool,
		Intermediates: intermediates,
		DNSName:       c.serverName,
		CurrentTime:   c.source.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("mtls: the server is not a trusted %s: %w", c.serverName, err)
	}
	return nil
}
