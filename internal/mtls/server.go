package mtls

import (
	"crypto/tls"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
)

// ServerFiles is the `Tls:` block of a server. All three are required; paths
// are relative to the working directory.
type ServerFiles struct {
	// CertFile is this process's own certificate, PEM, followed by
	// intermediates if there are any. Its first DNS SAN is the process's name.
	CertFile string `json:"CertFile"`
	// KeyFile is the private key of CertFile, PEM.
	KeyFile string `json:"KeyFile"`
	// ClientCaFile holds the authorities that issue the callers'
	// certificates, PEM, one or (while one is replaced) several.
	ClientCaFile string `json:"ClientCaFile"`
}

// Server is one process's side of incoming mutual TLS.
type Server struct{ source *source }

// NewServer loads and checks the files. The error names the file and the
// reason: missing, key of another certificate, expired, no DNS SAN, no
// serverAuth, no certificate authority.
func NewServer(f ServerFiles, opts ...Option) (*Server, error) {
	if err := require("server Tls",
		[2]string{"CertFile", f.CertFile}, [2]string{"KeyFile", f.KeyFile}, [2]string{"ClientCaFile", f.ClientCaFile},
	); err != nil {
		return nil, err
	}
	s, err := openSource(paths{f.CertFile, f.KeyFile, f.ClientCaFile}, x509.ExtKeyUsageServerAuth, opts)
	if err != nil {
		return nil, err
	}
	return &Server{s}, nil
}

// TLSConfig gives a configuration that follows the files: TLS 1.3, a client
// certificate required and verified, ALPN h2.
func (s *Server) TLSConfig() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"h2"},
		Time:       s.source.now,
		// A resumed session would carry an identity verified against the CA
		// of the time of its first handshake past a rotation.
		SessionTicketsDisabled: true,
	}
	// Not GetCertificate: the pool of client CAs has to follow its file too.
	config := base.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m := s.source.current()
		c := base.Clone()
		c.Certificates = []tls.Certificate{m.pair}
		c.ClientCAs = m.pool
		return c, nil
	}
	return config
}

// Credentials gives TLSConfig in the form that grpc.Creds takes.
func (s *Server) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(s.TLSConfig())
}
