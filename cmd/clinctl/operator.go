package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"clinsource/internal/discovery"
	"clinsource/internal/mtls"
)

// When an expiry is told, and when it is an error; the alerts use the same.
const (
	warnBefore = 14 * 24 * time.Hour
	failBefore = 3 * 24 * time.Hour
)

// questionWithin bounds one question to one process.
const questionWithin = 3 * time.Second

// operator is where the parts of an installation are, and the certificate that
// may ask them for their health: by default the launcher's own, of development.
type operator struct {
	url           string
	hosts         list
	ca, cert, key string
	metrics       list
}

func operatorFlags(flags *flag.FlagSet) *operator {
	o := &operator{}
	flags.StringVar(&o.url, "url", cmp.Or(os.Getenv("CLINSOURCE_URL"), "https://127.0.0.1:8443"), "the gateway")
	flags.Var(&o.hosts, "etcd", "etcd members, host:port (default 127.0.0.1:2379)")
	flags.StringVar(&o.ca, "ca", cmp.Or(os.Getenv("CLINSOURCE_CA"), certDir+"/ca.crt"), "the CA of all certificates")
	flags.StringVar(&o.cert, "cert", certDir+"/suite.crt", "a certificate that every service's Peers lets ask grpc.health.v1.Health")
	flags.StringVar(&o.key, "key", certDir+"/suite.key", "its key")
	flags.Var(&o.metrics, "metrics", "the processes' /metrics (default those of make run)")
	return o
}

// complete fills in the defaults of the lists, once the flags are read.
func (o *operator) complete() {
	if len(o.hosts) == 0 {
		o.hosts = list{"127.0.0.1:2379"}
	}
	if len(o.metrics) == 0 {
		for port := 9200; port <= 9204; port++ {
			o.metrics = append(o.metrics, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		}
	}
	o.url = strings.TrimSuffix(o.url, "/")
}

// trust is the operator's side of mutual TLS to a server of this name.
func (o *operator) trust(server string) (*mtls.Client, error) {
	return mtls.NewClient(mtls.ClientFiles{ServerName: server, CaFile: o.ca, CertFile: o.cert, KeyFile: o.key})
}

func (o *operator) etcd() (*discovery.Client, error) {
	files, err := o.trust("etcd")
	if err != nil {
		return nil, err
	}
	return discovery.NewClient(o.hosts, files.TLSConfig())
}

// answer is what an HTTPS server has said, and shown.
type answer struct {
	status  int
	body    []byte
	date    time.Time // Of its Date header.
	expires time.Time // Of its certificate.
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// get asks an HTTPS server whose certificate names it so; http:// is for the
// metrics, which are on the loopback.
func (o *operator) get(ctx context.Context, server, url string) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, questionWithin)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	if server != "" {
		files, err := o.trust(server)
		if err != nil {
			return a, err
		}
		transport.TLSClientConfig = files.TLSConfig()
		transport.TLSClientConfig.NextProtos = nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	a.date, _ = http.ParseTime(resp.Header.Get("Date"))
	a.expires = expiryOf(resp.TLS)
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, err
}

func expiryOf(state *tls.ConnectionState) time.Time {
	if state == nil || len(state.PeerCertificates) == 0 {
		return time.Time{}
	}
	return state.PeerCertificates[0].NotAfter
}

// left says how long something holds yet, in the largest unit that tells.
func left(until time.Time, now time.Time) string {
	d := until.Sub(now)
	switch {
	case until.IsZero():
		return "-"
	case d <= 0:
		return "EXPIRED"
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
