// readvitals reads all vital signs of one subject over gRPC, as a partner
// institution's program would, and prints them.
//
//   - The connection is mutual TLS: the partner's certificate says which gRPC
//     services it may call at all (Peers in the service's configuration).
//   - The call carries a bearer token: it says who asks, and what they are granted
//     decides what they see. A partner gets its tokens from the suite's identity
//     provider, and its role from an admin of the project (docs/access.md).
//   - Every call has a deadline; one without is refused.
//   - What is Unavailable or over its time is asked again after a pause that grows;
//     what is refused (PermissionDenied, NotFound, InvalidArgument) is not.
//
// It needs nothing of this repository but the generated contract. Against the
// development suite:
//
//	TOKEN=$(bin/clinctl token --sub me --role partner --project demo) \
//	  go run ./docs/examples/readvitals -patient demo-001
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	vitalspb "clinsource/proto/vitals"
)

const (
	callLimit = 5 * time.Second // For one page.
	attempts  = 5
	pageSize  = 1000
)

type settings struct {
	address, serverName, ca, cert, key, project, patient string
}

func main() {
	var s settings
	flag.StringVar(&s.address, "addr", "127.0.0.1:9101", "address of vitals-rpc")
	flag.StringVar(&s.serverName, "server-name", "vitals-rpc", "the name in its certificate")
	flag.StringVar(&s.ca, "ca", "certs/dev/ca.crt", "certificate authority")
	flag.StringVar(&s.cert, "cert", "certs/dev/partner.crt", "own certificate")
	flag.StringVar(&s.key, "key", "certs/dev/partner.key", "its key")
	flag.StringVar(&s.project, "project", "", "optional: the project that the subject must belong to")
	flag.StringVar(&s.patient, "patient", "", "the subject")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, os.Getenv("TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, "readvitals:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, token string) error {
	if s.patient == "" || token == "" {
		return errors.New("usage: TOKEN=... readvitals -patient ID [flags]")
	}
	creds, err := mutualTLS(s)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	in := &vitalspb.ListVitalsRequest{PatientId: s.patient, ProjectId: s.project, PageSize: pageSize}
	return readAll(ctx, vitalspb.NewVitalsServiceClient(conn), in, func(r *vitalspb.VitalsRecord) {
		fmt.Println(r)
	})
}

func mutualTLS(s settings) (credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", s.ca)
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: s.serverName, RootCAs: roots, Certificates: []tls.Certificate{own},
	}), nil
}

// readAll reads page by page, newest measurement first, and gives each record to
// show.
func readAll(ctx context.Context, client vitalspb.VitalsServiceClient, in *vitalspb.ListVitalsRequest, show func(*vitalspb.VitalsRecord)) error {
	for {
		page, err := ask(ctx, client, in)
		if err != nil {
			return err
		}
		for _, r := range page.GetRecords() {
			show(r)
		}
		if in.PageToken = page.GetNextPageToken(); in.PageToken == "" {
			return nil
		}
	}
}

// ask reads one page, again where that can help.
func ask(ctx context.Context, client vitalspb.VitalsServiceClient, in *vitalspb.ListVitalsRequest) (page *vitalspb.ListVitalsResponse, err error) {
	for attempt := range attempts {
		if attempt > 0 {
			if err := pause(ctx, time.Duration(1<<attempt)*50*time.Millisecond); err != nil {
				return nil, err
			}
		}
		page, err = askOnce(ctx, client, in)
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.ResourceExhausted {
			return page, err
		}
	}
	return nil, err
}

func askOnce(ctx context.Context, client vitalspb.VitalsServiceClient, in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return client.ListVitals(ctx, in)
}

// pause waits for d, more or less, so that callers who failed together do not come
// back together.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d)) // #nosec G404 -- a pause is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
