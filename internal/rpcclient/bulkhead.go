package rpcclient

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"clinsource/internal/fault"
)

// bulkhead bounds the calls under way to one downstream. Full means refused at
// once: a caller that queues here would only wait for what hangs already.
type bulkhead struct {
	places  chan struct{}
	gauge   prometheus.Gauge
	refused prometheus.Counter
	name    string
}

func newBulkhead(name string, size int) *bulkhead {
	places.WithLabelValues(name).Set(float64(size))
	return &bulkhead{places: make(chan struct{}, size), gauge: inFlight.WithLabelValues(name), refused: refused.WithLabelValues(name), name: name}
}

func (b *bulkhead) enter() error {
	select {
	case b.places <- struct{}{}:
		b.gauge.Inc()
		return nil
	default:
		b.refused.Inc()
		return fault.Unavailable(fault.ReasonOverloaded, "too many calls to "+b.name+" are under way; back off and send again", time.Second)
	}
}

func (b *bulkhead) leave() {
	<-b.places
	b.gauge.Dec()
}

func (b *bulkhead) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	return invoke(ctx, method, req, reply, cc, opts...)
}

// stream holds a place until the stream has ended: the end of the caller's
// context, or the error (io.EOF included) that RecvMsg returns. The stream's own
// Context() would tell more, but asking for it forbids grpc to retry the stream.
func (b *bulkhead) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	inner, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		b.leave()
		return nil, err
	}
	leave := sync.OnceFunc(b.leave)
	forget := context.AfterFunc(ctx, leave)
	return &placedStream{ClientStream: inner, desc: desc, leave: func() { forget(); leave() }}, nil
}

type placedStream struct {
	grpc.ClientStream
	desc  *grpc.StreamDesc
	leave func()
}

func (s *placedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil || !s.desc.ServerStreams {
		s.leave()
	}
	return err
}

// SendMsg: io.EOF says that the status waits in RecvMsg; any other error is the
// end of the stream itself.
func (s *placedStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	if err != nil && !errors.Is(err, io.EOF) {
		s.leave()
	}
	return err
}
