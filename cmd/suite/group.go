package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// How long each step of stopping may take; 14 s in all.
const (
	stopGateway  = 5 * time.Second
	stopServices = 6 * time.Second
	stopEtcd     = 3 * time.Second
)

// gatewayURL is where the suite answers.
const gatewayURL = "https://127.0.0.1:8443"

// group is all processes, in the order in which they may fall: the gateway
// first, while what it calls still answers; etcd last.
type group struct {
	gateway  *process
	services []*process
	etcd     *process
}

func newGroup(s settings, st store) (*group, error) {
	start := newStarter()
	env := []string{"CLINSOURCE_DATA=" + s.data}
	var errs []error
	service := func(name string) *process {
		config, err := st.config(name, "etc/"+name+".yaml")
		errs = append(errs, err)
		return newProcess(start, s, name, env, "-f", config)
	}
	g := &group{
		gateway:  service("project-api"),
		services: []*process{service("vitals-rpc"), service("dicom-rpc"), service("epro-rpc"), service("subject-rpc")},
		etcd:     newProcess(start, s, "etcd", nil, etcdArgs(s)...),
	}
	return g, errors.Join(errs...)
}

// etcdArgs is one member with mutual TLS, on the loopback.
func etcdArgs(s settings) []string {
	const client, peer = "https://127.0.0.1:2379", "https://127.0.0.1:2380"
	crt, key, ca := certs+"/etcd.crt", certs+"/etcd.key", certs+"/ca.crt"
	return []string{
		"--name=dev", "--data-dir=" + filepath.Join(s.data, "etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=dev=" + peer,
		"--client-cert-auth", "--cert-file=" + crt, "--key-file=" + key, "--trusted-ca-file=" + ca,
		"--peer-client-cert-auth", "--peer-cert-file=" + crt, "--peer-key-file=" + key, "--peer-trusted-ca-file=" + ca,
		"--tls-min-version=TLS1.3", "--auto-compaction-retention=1h", "--log-level=warn",
		"--heartbeat-interval=100", "--election-timeout=500",
	}
}

func (g *group) all() []*process {
	return append([]*process{g.etcd, g.gateway}, g.services...)
}

func (g *group) start() {
	for _, p := range g.all() {
		go p.supervise()
	}
}

// announce prints the ready line once every process answers.
func (g *group) announce(ctx context.Context) {
	checks, err := newChecks()
	if err != nil {
		say("health checks: %v", err)
		return
	}
	defer checks.close()
	begun, told := time.Now(), time.Duration(10*time.Second)
	for {
		waiting := checks.waiting(ctx)
		if len(waiting) == 0 {
			fmt.Println("ready " + gatewayURL)
			return
		}
		if time.Since(begun) > told {
			say("still waiting for %v; see the logs", waiting)
			told += 10 * time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (g *group) stop() {
	stopAll(stopGateway, g.gateway)
	stopAll(stopServices, g.services...)
	stopAll(stopEtcd, g.etcd)
}

// stopAll ends processes side by side: gently, and after the limit for good.
func stopAll(limit time.Duration, processes ...*process) {
	for _, p := range processes {
		p.terminate()
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, p := range processes {
		select {
		case <-p.ended:
		case <-timer.C:
			timer.Reset(0)
			p.kill()
			<-p.ended
		}
	}
}
