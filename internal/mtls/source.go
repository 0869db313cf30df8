package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// source is one set of files and what they last said. It is safe for
// concurrent use by all handshakes of a process.
type source struct {
	paths    paths
	usage    x509.ExtKeyUsage
	now      func() time.Time
	interval time.Duration

	mu      sync.Mutex
	looked  time.Time
	read    contents  // what good was made of
	good    *material // never nil once open has succeeded
	problem string    // the last reload's error, logged once
}

// openSource loads the files and refuses what no handshake could use.
func openSource(p paths, usage x509.ExtKeyUsage, opts []Option) (*source, error) {
	s := &source{paths: p, usage: usage, now: time.Now, interval: time.Second}
	for _, o := range opts {
		o(s)
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.looked = s.now()
	exported.add(s)
	return s, nil
}

// current gives the newest usable material, looking at the files first when
// the last look is older than the interval. They are read and compared rather
// than stat'ed: a few kilobytes a second at most, and neither a coarse
// modification time nor a swapped symbolic link can hide a change.
func (s *source) current() *material {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.interval <= 0 || now.Sub(s.looked) >= s.interval || now.Before(s.looked) {
		s.looked = now
		s.reload()
	}
	return s.good
}

// reload keeps the old material when the new is unusable, and tries again at
// the next look: the second half of a pair may be on its way.
func (s *source) reload() {
	err := s.load()
	if err == nil {
		s.problem = ""
		return
	}
	reloadErrors.WithLabelValues(filepath.Base(s.paths.cert)).Inc()
	if s.problem != err.Error() {
		s.problem = err.Error()
		logx.Errorf("the certificates in use stay in use, the changed files cannot replace them: %s", s.problem)
	}
}

func (s *source) load() error {
	c, err := s.paths.read()
	if err != nil {
		return err
	}
	if s.good != nil && s.read.equal(c) {
		return nil
	}
	m, err := s.paths.parse(c, s.usage, s.now())
	if err != nil {
		return err
	}
	s.read, s.good = c, m
	return nil
}

// require refuses empty settings: an empty path is a forgotten key, and what
// was meant cannot be guessed.
func require(kind string, settings ...[2]string) error {
	var missing []error
	for _, s := range settings {
		if s[1] == "" {
			missing = append(missing, fmt.Errorf("mtls: %s: %s is empty; TLS cannot be left out", kind, s[0]))
		}
	}
	return errors.Join(missing...)
}
