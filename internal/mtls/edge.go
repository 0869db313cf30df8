package mtls

import (
	"crypto/tls"
	"crypto/x509"
)

// Edge is the HTTPS side that apps and browsers call. They identify
// themselves by token, so it asks for no client certificate.
type Edge struct{ source *source }

// NewEdge loads and checks the gateway's certificate and key. The error names
// the file and the reason, as with NewServer.
func NewEdge(certFile, keyFile string, opts ...Option) (*Edge, error) {
	if err := require("HTTPS edge", [2]string{"CertFile", certFile}, [2]string{"KeyFile", keyFile}); err != nil {
		return nil, err
	}
	s, err := openSource(paths{cert: certFile, key: keyFile}, x509.ExtKeyUsageServerAuth, opts)
	if err != nil {
		return nil, err
	}
	return &Edge{s}, nil
}

// TLSConfig gives a configuration that follows the files, with ALPN h2 and
// http/1.1. Phones in trials live long, so TLS 1.2 is the floor, with forward
// secrecy and authenticated encryption only.
//
// Under go-zero's rest set CertFile and KeyFile as well: without them
// rest.WithTLSConfig is ignored and the server speaks plain HTTP.
func (e *Edge) TLSConfig() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		Time:       e.source.now,
		CipherSuites: []uint16{ // TLS 1.2 only; 1.3 has no weak ones
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
	// Not GetCertificate: net/http loads the file into Certificates at start,
	// and a client that sends no server name would get that one for ever.
	config := base.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.Certificates = []tls.Certificate{e.source.current().pair}
		return c, nil
	}
	return config
}
