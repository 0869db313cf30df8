package rpcserver

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"clinsource/internal/fault"
)

// stream is a server stream with the call's own context and an idle limit. A
// stream has no total limit: a large image may take its time, a silent peer may
// not.
type stream struct {
	grpc.ServerStream
	ctx  context.Context
	idle time.Duration // 0: none.

	first    any             // The first message that came, once it has.
	stopping <-chan struct{} // Closed: no message is waited for any more.
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) RecvMsg(m any) error {
	err := s.within(func() error { return s.ServerStream.RecvMsg(m) }, s.stopping)
	if err == nil && s.first == nil {
		s.first = m
	}
	return err
}

func (s *stream) SendMsg(m any) error {
	return s.within(func() error { return s.ServerStream.SendMsg(m) }, nil) // What was asked for is sent as long as there is time.
}

// within waits for one message no longer than the idle limit. grpc cannot be
// told to stop waiting, so the wait goes on beside us: the handler returns with
// the fault, that ends the stream, and the end of the stream ends the wait.
func (s *stream) within(pass func() error, stopping <-chan struct{}) error {
	if s.idle == 0 {
		return pass()
	}
	done := make(chan error, 1)
	go func() { done <- pass() }()
	timer := time.NewTimer(s.idle)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-stopping:
		return fault.Unavailable(fault.ReasonUnavailable, "the server is about to stop; open the stream again and go on from what was committed", time.Second)
	case <-timer.C:
		return fault.DeadlineExceeded("no message passed on the stream for too long; open it again")
	}
}
