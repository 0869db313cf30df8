package main

import (
	"context"
	"time"

	"clinsource/internal/accounts"
	"clinsource/internal/discovery"
	"clinsource/internal/subjects"
)

// etcdHosts is where the suite's own etcd answers.
var etcdHosts = []string{"127.0.0.1:2379"}

// admin is the launcher's name in its certificate.
const admin = "suite"

// access is what each process may do in etcd: register under its own keys, see
// everybody's. subject-rpc alone tells that subjects have changed.
func (p *plan) access() (all []discovery.Access) {
	for _, k := range p.kinds {
		a := discovery.Access{User: k.name, Keys: k.keys}
		if k.name == "subject-rpc" {
			a.Signals = []string{subjects.Changed, accounts.Changed}
		}
		all = append(all, a)
	}
	return all
}

// protectEtcd sets users up on an etcd that somebody else runs, and is done.
func protectEtcd(ctx context.Context, s settings) error {
	p, err := makePlan(s.data, nil, store{})
	if err != nil {
		return err
	}
	files, err := client("etcd")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, protectWithin)
	defer cancel()
	return discovery.Protect(ctx, s.protect, files.TLSConfig(), admin, p.access())
}

// protectWithin is how long the etcd of others may take.
const protectWithin = 30 * time.Second

// keepEtcdProtected sets etcd's users up and keeps them so, should its data be
// lost.
func (p *plan) keepEtcdProtected(ctx context.Context) {
	files, err := client("etcd")
	if err != nil {
		say("etcd's users: %v", err)
		return
	}
	once := false
	err = discovery.KeepProtected(ctx, etcdHosts, files.TLSConfig(), admin, p.access(), func(err error) {
		if err == nil && once {
			say("etcd's users are set up again")
		}
		once = once || err == nil
	})
	if err != nil {
		say("etcd's users: %v", err)
	}
}
