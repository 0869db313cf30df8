package main

// What audit and policy cost: vitals-rpc as it is, against the same sources in
// which writing an audit row does nothing and everybody may do everything. That
// program exists here alone, made by go build -overlay: the product has no switch
// that turns either off.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	vitalspb "clinsource/proto/vitals"
)

const (
	bareAddr    = "127.0.0.1:9111"
	bareMetrics = 9211
	listRows    = 50
)

// without says what each function does instead, in the bare program.
var without = []struct{ file, function, first string }{
	{"internal/audit/audit.go", "Insert", "if true { return nil }"},
	{"internal/audit/audit.go", "Read", "if true { return nil }"},
	{"internal/auth/user.go", "May", "if true { return Scope{Project: project, AllSites: true, Role: Admin}, true }"},
}

// overlay writes the changed sources into folder, and the file that names them
// for go build.
func overlay(folder string) (string, error) {
	replace := map[string]string{}
	for i, w := range without {
		source, err := filepath.Abs(w.file)
		if err != nil {
			return "", err
		}
		from := source
		if changed := replace[source]; changed != "" {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), w.file, text, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		at := 0
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == w.function {
				at = int(f.Body.Lbrace - file.FileStart + 1)
			}
		}
		if at == 0 {
			return "", fmt.Errorf("%s has no function %s: correct bare.go", w.file, w.function)
		}
		replace[source] = filepath.Join(folder, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(replace[source], []byte(string(text[:at])+w.first+"\n"+string(text[at:])), 0o600); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// startBare builds vitals-rpc without audit and policy and starts it beside the
// suite, on a database of its own, where nobody finds it in etcd.
func startBare(ctx context.Context, b *bench) (stop func(), err error) {
	folder := filepath.Join(b.folder, "bare")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	changed, err := overlay(folder)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(folder, "bare")
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", changed, "-o", program, "./vitals-rpc").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build -overlay: %w\n%s", err, out)
	}
	text, err := os.ReadFile("etc/vitals-rpc.yaml")
	if err != nil {
		return nil, err
	}
	config := strings.NewReplacer(vitalsAddr, bareAddr, "9201", fmt.Sprint(bareMetrics), "Key: vitals.rpc", "Key: bare.rpc").Replace(string(text))
	path := filepath.Join(folder, "vitals-rpc.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := exec.Command(program, "-f", path)
	c.Env = append(os.Environ(), "CLINSOURCE_DATA="+folder)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startLike(b.suite.pids["vitals-rpc"], c); err != nil {
		return nil, err
	}
	b.suite.pids["bare"] = c.Process.Pid
	return func() { _ = c.Process.Signal(syscall.SIGTERM); _ = c.Wait(); delete(b.suite.pids, "bare") }, nil
}

// startLike starts a process at the priority of another.
func startLike(other int, c *exec.Cmd) error {
	kernels, err := syscall.Getpriority(syscall.PRIO_PROCESS, other)
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", c.Process.Pid))
	if err != nil {
		return err
	}
	for _, thread := range threads { // The first of them; the later ones inherit it.
		var id int
		if _, err := fmt.Sscan(thread.Name(), &id); err != nil {
			return err
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, 20-kernels); err != nil && !errors.Is(err, syscall.ESRCH) { // The kernel's call gives 20 less the nice value.
			return err
		}
	}
	return nil
}

// auditGroup is a write and a list with audit and policy, and without.
func auditGroup(ctx context.Context, b *bench, g *group) error {
	g.title, g.unit = "vitals-rpc over zRPC, with audit and policy and without", "call"
	stop, err := startBare(ctx, b)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, stop)
	var write, list [2]*contender
	for i, c := range []struct{ addr, name string }{{vitalsAddr, "as it is"}, {bareAddr, "without"}} {
		conn, err := dial("vitals-rpc", c.addr, "partner")
		if err != nil {
			return err
		}
		g.closers = append(g.closers, func() { _ = conn.Close() })
		client := vitalspb.NewVitalsServiceClient(conn)
		upload := b.world.uploadOver(client)
		if err := await(ctx, upload); err != nil {
			return fmt.Errorf("vitals-rpc %s: %w", c.name, err)
		}
		if err := b.world.plantList(ctx, client); err != nil {
			return err
		}
		write[i] = b.contender(g, "upload, "+c.name, b.callers, upload)
		list[i] = b.contender(g, fmt.Sprintf("list of %d, %s", listRows, c.name), b.callers, b.world.listOver(client))
	}
	g.goals = []goal{
		{what: "uploads with audit and policy / without", want: 0.75, ratios: rateOver(write[0], write[1])},
		{what: fmt.Sprintf("lists of %d rows with audit and policy / without", listRows), want: 0.85, ratios: rateOver(list[0], list[1])},
	}
	return nil
}

// await tries until a service answers.
func await(ctx context.Context, do operation) error {
	for end := time.Now().Add(callWithin); ; {
		_, err := do(ctx, 0)
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (w *world) uploadOver(client vitalspb.VitalsServiceClient) operation {
	return func(ctx context.Context, _ int) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(authorized(ctx, w.token), callWithin)
		defer cancel()
		_, err := client.UploadVitals(ctx, w.next().message())
		return 0, err
	}
}

// listed is whose records the lists show; uploads are of the others.
func (w *world) listed() string { return w.project + listedSuffix }

const listedSuffix = "-listed"

// plantList gives one subject so many records that a page is full.
func (w *world) plantList(ctx context.Context, client vitalspb.VitalsServiceClient) error {
	for range listRows + 10 {
		m := w.next().message()
		m.PatientId = w.listed()
		ctx, cancel := context.WithTimeout(authorized(ctx, w.token), callWithin)
		_, err := client.UploadVitals(ctx, m)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) listOver(client vitalspb.VitalsServiceClient) operation {
	return func(ctx context.Context, _ int) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(authorized(ctx, w.reader), callWithin)
		defer cancel()
		resp, err := client.ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: w.listed(), PageSize: listRows})
		if err == nil && len(resp.GetRecords()) != listRows {
			err = fmt.Errorf("a list of %d records, want %d", len(resp.GetRecords()), listRows)
		}
		return 0, err
	}
}
