// Package pgtest starts a private PostgreSQL for tests, from the machine's own
// packages: a new cluster in a temporary folder, with fsync on, that ends and is
// removed when the test binary ends, however that ends.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clinsource/internal/corpus"
)

// Owner is a role that may make roles, databases, and schemas in the database
// postgres, and is no superuser.
const Owner = "clinsource_owner"

// Server is one PostgreSQL.
type Server struct {
	folder string
	port   int
	stdin  io.WriteCloser // of the process that watches over it
	watch  *exec.Cmd
}

// Shared gives the server of this test binary, started at its first use. Without
// PostgreSQL on the machine the test is skipped, or fails if REQUIRE_ALL_TESTS=1.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	need(t, err)
	return s
}

// Run gives a server to a program that is no test, which ends it by Close.
func Run() (*Server, error) { return start() }

// Close ends the server and removes what it kept.
func (s *Server) Close() {
	_ = s.stdin.Close()
	_ = s.watch.Wait() // It was told to end; how does not matter.
}

var shared = sync.OnceValues(start)

// New gives a server that is this test's alone, to be stopped and killed.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	need(t, err)
	t.Cleanup(s.Close)
	return s
}

var errMissing = errors.New("no initdb under /usr/lib/postgresql or on PATH; install postgresql")

func need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) {
		corpus.Tool(t, "initdb")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// URL is the database of that name, as that role, over TCP.
func (s *Server) URL(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.port, database)
}

// Addr is where it listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Database makes an empty database that Owner owns, and gives its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", time.Now().UnixNano())
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" OWNER "+Owner+" TEMPLATE template0")
	return name
}

// Exec runs statements as the superuser.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	if err := s.Try(database, statements...); err != nil {
		t.Fatal(err)
	}
}

// Try is Exec that gives the error.
func (s *Server) Try(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres", database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// watcher runs the server until its own input ends (this process is gone, or done
// with it: then all is removed), or a line names a signal to end the server by.
const watcher = `"$1/postgres" -D "$2/data" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 -c max_connections=200 \
 -c fsync=on -c shared_buffers=64MB -c log_min_messages=warning -c log_line_prefix='%m [%p] ' >>"$2/log" 2>&1 &
if read -r signal; then kill -"$signal" $!; wait $!; else kill -INT $!; wait $!; rm -rf "$2"; fi`

func start() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "clinsource-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder}
	if err := s.create(bin); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, s.Try("postgres", "CREATE ROLE "+Owner+" LOGIN CREATEROLE CREATEDB", "GRANT CREATE ON DATABASE postgres TO "+Owner)
}

func (s *Server) create(bin string) error {
	as, err := unprivileged()
	if err != nil {
		return err
	}
	if as != nil {
		if err := os.Chown(s.folder, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(s.folder, "data"), "-U", "postgres", "--no-sync", "--no-instructions",
		"--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
	initdb.Dir = s.folder
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// Start starts the server again after Stop, on the same port, and waits until it
// answers.
func (s *Server) Start() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	as, err := unprivileged()
	if err != nil {
		return err
	}
	if s.port == 0 {
		if s.port, err = freePort(); err != nil {
			return err
		}
	}
	s.watch = exec.Command("/bin/sh", "-c", watcher, "sh", bin, s.folder, strconv.Itoa(s.port))
	s.watch.Dir = "/"
	// A group of its own: Ctrl-C is for the tests, which then end and end it.
	s.watch.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	if s.stdin, err = s.watch.StdinPipe(); err != nil {
		return err
	}
	if err := s.watch.Start(); err != nil {
		return err
	}
	return s.wait()
}

// freePort finds a port below those that the kernel gives to who connects: while
// the server is away, a client's own end could lie on its port, and it could not
// come back.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 15000 + rand.IntN(15000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

func (s *Server) wait() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := s.Try("postgres", "SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, log)
		}
	}
}

// Stop ends the server by a signal, INT (fast shutdown), QUIT (immediate, as after
// a crash) or KILL, and waits until it is gone.
func (s *Server) Stop(t testing.TB, signal string) {
	t.Helper()
	if _, err := io.WriteString(s.stdin, signal+"\n"); err != nil {
		t.Fatal(err)
	}
	_ = s.watch.Wait() // With the server's status: killed, if it was.
	_ = s.stdin.Close()
	// Killed, it leaves its children to find out by themselves.
	for deadline := time.Now().Add(time.Minute); s.listens(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not end")
		}
	}
}

func (s *Server) listens() bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// binaries finds the folder of the newest PostgreSQL.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(strings.Split(path, "/")[4])
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errMissing
	}
	return filepath.Dir(path), nil
}

// unprivileged is whom to run as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
