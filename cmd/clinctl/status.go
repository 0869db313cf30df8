package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"clinsource/internal/discovery"
	"clinsource/internal/fault"
	"clinsource/internal/telemetry"
)

// known is the processes that a whole installation has, by the etcd keys that
// they register under.
var known = []struct{ key, process string }{
	{"vitals.rpc", "vitals-rpc"}, {"dicom.rpc", "dicom-rpc"}, {"epro.rpc", "epro-rpc"},
	{"subject.rpc", "subject-rpc"}, {"medication.rpc", "subject-rpc"},
}

// status is what `clinctl status` tells.
type status struct {
	OK        bool               `json:"ok"`
	Processes []processStatus    `json:"processes"`
	Budgets   map[string]float64 `json:"budgets_seconds,omitempty"` // Of the gateway, by call.
	Limits    map[string]float64 `json:"limits_seconds,omitempty"`  // A service's Timeout.
}

// processStatus is one line of it.
type processStatus struct {
	Process string    `json:"process"`
	Key     string    `json:"key,omitempty"`
	Address string    `json:"address,omitempty"`
	State   string    `json:"state"` // ok, or what is wrong.
	Version string    `json:"version,omitempty"`
	Expires time.Time `json:"certificate_expires,omitzero"`
	OK      bool      `json:"ok"`
}

// errNotWell makes the exit status 1 after the table has said why.
var errNotWell = errors.New("something is wrong; see above, docs/operations.md says what to do")

// runStatus shows who is registered and how they are.
func runStatus(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	o := operatorFlags(flags)
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.complete()
	s, err := o.status(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		err = printJSON(os.Stdout, s)
	} else {
		err = s.print(os.Stdout, time.Now())
	}
	if err == nil && !s.OK {
		err = errNotWell
	}
	return err
}

func (o *operator) status(ctx context.Context) (*status, error) {
	etcd, err := o.etcd()
	if err != nil {
		return nil, err
	}
	defer etcd.Close()
	s := &status{OK: true, Budgets: map[string]float64{}, Limits: map[string]float64{}}
	builds := o.readMetrics(ctx, s)
	for _, host := range o.hosts {
		s.add(o.member(ctx, etcd, host))
	}
	for _, k := range known {
		addresses, err := etcd.Registered(ctx, k.key)
		if err != nil {
			s.add(processStatus{Process: k.process, Key: k.key, State: "etcd does not say who is registered: " + short(err)})
			continue
		}
		if len(addresses) == 0 {
			s.add(processStatus{Process: k.process, Key: k.key, State: "nobody is registered"})
		}
		for _, address := range addresses {
			p := o.ask(ctx, k.process, address)
			p.Key = k.key
			s.add(p)
		}
	}
	s.add(o.gateway(ctx, builds["project-api"]))
	return s, nil
}

// add judges a process's certificate and takes the process in.
func (s *status) add(p processStatus) {
	if p.OK && !p.Expires.IsZero() && time.Until(p.Expires) < failBefore {
		p.OK, p.State = false, "its certificate expires in "+left(p.Expires, time.Now())
	}
	s.OK = s.OK && p.OK
	s.Processes = append(s.Processes, p)
}

func (o *operator) member(ctx context.Context, etcd *discovery.Client, host string) processStatus {
	p := processStatus{Process: "etcd", Address: host}
	if a, err := o.get(ctx, "etcd", "https://"+host+"/health"); err == nil {
		p.Expires = a.expires
	}
	m, err := etcd.Member(ctx, host)
	p.Version = m.Version
	switch {
	case err != nil:
		p.State = short(err)
	case len(m.Alarms) > 0:
		p.State = strings.Join(m.Alarms, ", ")
	case !m.Follows:
		p.State = "knows no leader"
	case m.Leader:
		p.State, p.OK = "ok, leads", true
	default:
		p.State, p.OK = "ok", true
	}
	return p
}

// ask asks one replica for its health.
func (o *operator) ask(ctx context.Context, process, address string) processStatus {
	p := processStatus{Process: process, Address: address}
	files, err := o.trust(process)
	if err != nil {
		p.State = err.Error()
		return p
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(files.Credentials()), grpc.WithNoProxy())
	if err != nil {
		p.State = err.Error()
		return p
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, questionWithin)
	defer cancel()
	var header metadata.MD
	var other peer.Peer
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header), grpc.Peer(&other))
	if info, ok := other.AuthInfo.(credentials.TLSInfo); ok {
		p.Expires = expiryOf(&info.State)
	}
	if v := header.Get(telemetry.VersionKey); len(v) > 0 {
		p.Version = v[0]
	}
	switch {
	case err != nil && fault.From(err).Reason == fault.ReasonPeerNotAllowed:
		p.State = "its Peers do not let this certificate ask grpc.health.v1.Health"
	case err != nil:
		p.State = short(err)
	case resp.GetStatus() != healthpb.HealthCheckResponse_SERVING:
		p.State = strings.ToLower(resp.GetStatus().String())
	default:
		p.State, p.OK = "ok", true
	}
	return p
}

func (o *operator) gateway(ctx context.Context, version string) processStatus {
	p := processStatus{Process: "project-api", Address: o.url, Version: version}
	a, err := o.get(ctx, "project-api", o.url+"/readyz")
	p.Expires = a.expires
	switch {
	case err != nil:
		p.State = short(err)
	case a.status != http.StatusOK:
		p.State = fmt.Sprintf("not ready (status %d)", a.status)
	default:
		p.State, p.OK = "ok, ready", true
	}
	return p
}

// readMetrics takes budgets and versions from those /metrics that answer: on
// another machine they may be out of reach, which is no fault.
func (o *operator) readMetrics(ctx context.Context, s *status) (builds map[string]string) {
	builds = map[string]string{}
	for _, url := range o.metrics {
		a, err := o.get(ctx, "", url)
		if err != nil || a.status != http.StatusOK {
			continue
		}
		service := ""
		for _, m := range parseMetrics(string(a.body)) {
			switch m.name {
			case "clinsource_build_info":
				service = m.labels["service"]
				builds[service] = m.labels["version"]
			case "clinsource_gateway_budget_seconds":
				s.Budgets[m.labels["call"]] = m.value
			}
		}
		for _, m := range parseMetrics(string(a.body)) {
			if m.name == "clinsource_rpc_server_limit_seconds" && service != "" && m.value > 0 {
				s.Limits[service] = m.value
			}
		}
	}
	return builds
}

// short is an error in the width of a table.
func short(err error) string {
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(text, "context deadline exceeded") {
		return fmt.Sprintf("no answer within %v", questionWithin)
	}
	var dial *net.OpError
	if errors.As(err, &dial) {
		return dial.Err.Error()
	}
	if i := strings.LastIndex(text, `desc = "`); i >= 0 {
		text = strings.TrimSuffix(text[i+len(`desc = "`):], `"`)
	}
	return text
}

func (s *status) print(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "PROCESS\tKEY\tADDRESS\tSTATE\tVERSION\tCERTIFICATE")
	for _, p := range s.Processes {
		state := p.State
		if !p.OK {
			state = "WRONG: " + state
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Process, dash(p.Key), dash(p.Address), state, dash(p.Version), left(p.Expires, now))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		of    map[string]float64
	}{{"budgets of the gateway", s.Budgets}, {"limits of the services", s.Limits}} {
		if len(part.of) > 0 {
			fmt.Fprintf(w, "%s: %s\n", part.title, inOrder(part.of))
		}
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
