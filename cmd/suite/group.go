package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
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

// group is all processes, in the order in which they may fall: the gateways
// first, while what they call still answers; etcd last.
type group struct {
	plan     *plan
	gateways []*process
	services []*process
	etcd     *process
}

func newGroup(s settings, p *plan) *group {
	start := newStarter()
	env := []string{"CLINSOURCE_DATA=" + s.data}
	g := &group{plan: p, etcd: newProcess(start, s, "etcd", "etcd", nil, etcdArgs(s)...)}
	for _, k := range p.kinds {
		for _, r := range k.replicas {
			made := newProcess(start, s, k.name, r.name, env, "-f", r.config)
			if k.name == "project-api" {
				g.gateways = append(g.gateways, made)
			} else {
				g.services = append(g.services, made)
			}
		}
	}
	return g
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
	return slices.Concat([]*process{g.etcd}, g.gateways, g.services)
}

func (g *group) start() {
	for _, p := range g.all() {
		go p.supervise()
	}
}

// announce prints the ready line once every process answers.
func (g *group) announce(ctx context.Context) {
	checks, err := newChecks(g.plan)
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
	stopAll(stopGateway, g.gateways...)
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
