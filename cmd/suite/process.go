package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Restarting: at once, unless a process keeps exiting within a second.
const (
	restartAfter = 100 * time.Millisecond
	shortLife    = time.Second
	patience     = 3 // Short lives before backing off.
	maxBackoff   = 5 * time.Second
)

// starter starts processes from one OS thread that lives as long as the
// launcher: Pdeathsig, which ends a child whose launcher was killed, follows the
// thread that started it, and the children inherit its priority.
type starter chan func()

// priority is the nice value of the processes, where the launcher may set one
// (root, CAP_SYS_NICE): somebody waits for their answers, and a build or a backup
// beside them can wait. In containers cpu_shares say the same.
const priority = -15

func newStarter() starter {
	s := make(starter)
	go func() {
		runtime.LockOSThread()
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, priority) // This thread's; without the right it stays as it is.
		for f := range s {
			f()
		}
	}()
	return s
}

func (s starter) start(c *exec.Cmd) error {
	done := make(chan error)
	s <- func() { done <- c.Start() }
	return <-done
}

// process is one supervised OS process.
type process struct {
	name  string
	args  []string
	env   []string
	bin   string
	log   string
	start starter

	mu       sync.Mutex
	running  *os.Process
	stopping bool
	ended    chan struct{} // Closed when it has exited and will not be restarted.
	wake     chan struct{} // Closed when it is to stop.
}

func newProcess(start starter, s settings, program, name string, env []string, args ...string) *process {
	return &process{
		name: name, args: args, env: env, start: start,
		bin: filepath.Join(s.bin, program), log: filepath.Join(s.data, "logs", name+".log"),
		ended: make(chan struct{}), wake: make(chan struct{}),
	}
}

// supervise runs the process, and again whenever it has exited, until it is
// told to stop.
func (p *process) supervise() {
	defer close(p.ended)
	short := 0
	for {
		begun := time.Now()
		err := p.once()
		if p.isStopping() {
			return
		}
		if time.Since(begun) < shortLife {
			short++
		} else {
			short = 0
		}
		wait := restartAfter
		if short > patience {
			wait = min(restartAfter<<min(short-patience, 10), maxBackoff)
		}
		say("%s has exited (%v); restarting in %v, its log is %s", p.name, err, wait, p.log)
		select {
		case <-p.wake:
			return
		case <-time.After(wait):
		}
	}
}

// once runs the process to its end.
func (p *process) once() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(p.bin, p.args...)
	c.Env = append(os.Environ(), p.env...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.mu.Lock()
	if p.stopping {
		p.mu.Unlock()
		return errors.New("stopping")
	}
	err = p.start.start(c)
	if err == nil {
		p.running = c.Process
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	err = c.Wait()
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	return err
}

// restartWhenChanged restarts a process that reads the file at its start alone:
// etcd follows its certificate, and not the authorities that it trusts. What it
// registers is in its data, and nobody needs it for the moment in between.
func (p *process) restartWhenChanged(ctx context.Context, path string) {
	before, err := os.ReadFile(path)
	if err != nil {
		say("%v", err)
		return
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now, err := os.ReadFile(path)
		if err != nil || bytes.Equal(now, before) {
			continue
		}
		before = now
		say("%s has changed; restarting %s", path, p.name)
		p.mu.Lock()
		p.signal(syscall.SIGTERM)
		p.mu.Unlock()
	}
}

func (p *process) isStopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// terminate asks the process to end, waking it first if it is stopped.
func (p *process) terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	close(p.wake)
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT)
}

// kill ends the process for good.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(syscall.SIGKILL)
}

func (p *process) signal(s os.Signal) {
	if p.running != nil {
		_ = p.running.Signal(s) // It may have exited meanwhile.
	}
}
