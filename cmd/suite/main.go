// suite runs all of clinsource on one machine, for development: a TLS etcd and
// the processes of the suite, each as its own OS process with embedded storage
// (or on the PostgreSQL database of CLINSOURCE_STORE, migrated first), the same
// binaries, mutual TLS and discovery as in production. It makes development
// certificates if there are none, prints one line "ready URL" when every process
// answers its health check, restarts what has exited (never what is stopped or
// slow), and ends everything on SIGINT or SIGTERM with status 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"clinsource/internal/devcert"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

// settings are the launcher's own.
type settings struct {
	data, bin string
	replicas  map[string]int // By program; 1 if it is not named.
	protect   []string       // Etcd hosts to set users up on, instead of running anything.
}

const certs = "certs/dev"

func parse() (settings, error) {
	self, err := os.Executable()
	if err != nil {
		return settings{}, err
	}
	var s settings
	flag.StringVar(&s.data, "data", "var", "folder for data and logs")
	flag.StringVar(&s.bin, "bin", filepath.Dir(self), "folder of the binaries")
	replicas := flag.String("replicas", "", "further processes of a program, as in vitals-rpc=2,project-api=2")
	users := flag.String("etcd-users", "", "only set etcd's users and roles up, at host:port,... of an etcd of your own")
	flag.Parse()
	if flag.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if _, err := os.Stat("etc/project-api.yaml"); err != nil {
		return s, errors.New("start it in the repository's root: etc/project-api.yaml is not here")
	}
	s.protect = strings.FieldsFunc(*users, func(r rune) bool { return r == ',' })
	if s.replicas, err = parseReplicas(*replicas); err != nil {
		return s, err
	}
	s.data, err = filepath.Abs(s.data)
	return s, err
}

func run(ctx context.Context) error {
	s, err := parse()
	if err != nil {
		return err
	}
	if len(s.protect) > 0 {
		return protectEtcd(ctx, s)
	}
	if err := os.MkdirAll(filepath.Join(s.data, "logs"), 0o700); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(s.data, "suite.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	st, err := newStore(s)
	if err != nil {
		return err
	}
	p, err := makePlan(s.data, s.replicas, st)
	if err != nil {
		return err
	}
	if err := portsFree(ctx, p.ports()); err != nil {
		return err
	}
	created, err := devcert.Ensure(certs, time.Now())
	if err != nil {
		return err
	}
	if created {
		say("made development certificates in %s", certs)
	}
	if err := st.migrate(ctx); err != nil {
		return err
	}
	g := newGroup(s, p)
	g.start()
	go p.keepEtcdProtected(ctx)
	go g.etcd.restartWhenChanged(ctx, certs+"/ca.crt")
	go g.announce(ctx)
	<-ctx.Done()
	say("stopping")
	g.stop()
	say("stopped")
	return nil
}

// portsFree refuses to start beside whoever has one of the ports: the health
// checks would find them, and say ready of processes that are not ours.
func portsFree(ctx context.Context, ports []int) error {
	for _, port := range ports {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return fmt.Errorf("port %d is taken (is another suite running?): %w", port, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// lock keeps a second suite off the same data.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another suite runs on %s; stop it or take another DATA", filepath.Dir(path)), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func say(format string, args ...any) {
	fmt.Printf(time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}
