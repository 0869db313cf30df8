package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// plainEvery is how often a log or a pipe hears of a long upload.
const plainEvery = 5 * time.Second

// progress shows how far each file and all of them are: a bar on a terminal,
// elsewhere a line now and then. It writes to standard error only.
type progress struct {
	mu       sync.Mutex
	bar      *progressbar.ProgressBar // nil: plain lines.
	plain    time.Time                // When the last plain line was written.
	files    int
	ended    int
	total    int64
	finished int64 // Bytes of the files that have ended.
	order    []string
	under    map[string]way // The files under way, by path.
}

type way struct{ at, size int64 }

func showProgress(files []found) *progress {
	p := &progress{plain: time.Now(), under: map[string]way{}}
	for _, f := range files {
		if f.err == nil && !f.skip {
			p.files++
			p.total += f.size
		}
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.bar = progressbar.NewOptions64(p.total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetWidth(20),
			progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

// moved says how far one file is.
func (p *progress) moved(f found, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.under[f.path]; !ok {
		p.order = append(p.order, f.path)
	}
	p.under[f.path] = way{offset, f.size}
	p.draw()
}

// done says that a file has ended, well or not.
func (p *progress) done(f found) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.err != nil || f.skip {
		return
	}
	delete(p.under, f.path)
	p.ended++
	p.finished += f.size
	p.draw()
}

func (p *progress) draw() {
	at := p.finished
	for _, w := range p.under {
		at += w.at
	}
	switch {
	case p.bar != nil:
		p.bar.Describe(p.text(3))
		_ = p.bar.Set64(at)
	case time.Since(p.plain) >= plainEvery:
		p.plain = time.Now()
		fmt.Fprintf(os.Stderr, "%s: %d of %d bytes\n", p.text(len(p.under)), at, p.total)
	}
}

// text names how many files have ended, and the percentages of those under way.
func (p *progress) text(most int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d files", p.ended, p.files)
	shown := 0
	for _, path := range p.order {
		w, ok := p.under[path]
		if !ok || shown == most {
			continue
		}
		shown++
		fmt.Fprintf(&b, ", %s %d%%", filepath.Base(path), 100*w.at/max(w.size, 1))
	}
	return b.String()
}

// end leaves the terminal at the beginning of a line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(os.Stderr)
	}
}
