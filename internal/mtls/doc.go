// Package mtls gives every connection of the suite its certificates: TLS 1.3
// with a certificate on both sides between processes, TLS 1.2 or 1.3 at the
// HTTPS edge, where apps and browsers have none.
//
// Who is who: a process is the first DNS name in its certificate's subject
// alternative names (vitals-rpc, project-api, ...), and every gRPC service has
// a list of the processes that may call it (PeerList). The common name is
// never looked at, as in Go itself.
//
// Nothing here can be turned off: there is no plaintext mode, no skipping of
// verification, no older protocol, and a file that is missing, expired or of
// the wrong kind stops the start with the file's name and the reason.
//
// Certificates rotate without a restart: a handshake uses what the files say
// at that moment (they are looked at no more than once a second), connections
// that stand keep standing. A pair that does not fit together yet, because
// the certificate has been written and the key has not, leaves the old one in
// use. Looking happens inside the handshake and inside the metrics scrape;
// no goroutine and no file watcher runs.
package mtls

import "time"

// An Option changes how files are followed; the defaults are right outside tests.
type Option func(*source)

// WithClock replaces the wall clock, for tests of expiry and rotation.
func WithClock(now func() time.Time) Option {
	return func(s *source) { s.now = now }
}

// WithInterval sets how long a look at the files is good for, one second when
// not given; 0 looks at every handshake.
func WithInterval(d time.Duration) Option {
	return func(s *source) { s.interval = d }
}

// Processes names the certificates of the suite: the processes of the design
// that call a gRPC service, the launcher that asks for their health, and the
// development partner. PeerList.Check knows these when it is given no others.
func Processes() []string {
	return []string{
		"vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc", "project-api", "suite", "partner",
	}
}
