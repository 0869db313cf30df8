package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// goal is a ratio, and what it is to be; a want of 0 is no goal, only a figure.
type goal struct {
	what   string
	want   float64
	atMost bool
	ratios func() ratio
}

// ratio is a ratio of medians, and the least and the most of single rounds.
type ratio struct{ median, least, most float64 }

// ratioOf compares two contenders by a figure of each lap.
func ratioOf(a, b *contender, figure func(lap) float64) ratio {
	r := ratio{median: over(a.laps, figure) / over(b.laps, figure)}
	for i := range min(len(a.laps), len(b.laps)) {
		r.add(figure(a.laps[i])/figure(b.laps[i]), i == 0)
	}
	return r
}

func (r *ratio) add(v float64, first bool) {
	if first {
		r.least, r.most = v, v
	}
	r.least, r.most = min(r.least, v), max(r.most, v)
}

func rateOver(a, b *contender) func() ratio { return func() ratio { return ratioOf(a, b, lap.rate) } }

func latencyOver(a, b *contender) func() ratio {
	return func() ratio { return ratioOf(a, b, func(l lap) float64 { return float64(percentile(l.times, 0.5)) }) }
}

// overItsBeat compares a contender's latency with what its operations told.
func overItsBeat(c *contender) func() ratio {
	return func() ratio {
		told := &contender{}
		for _, l := range c.laps {
			told.laps = append(told.laps, lap{times: l.beats})
		}
		return latencyOver(c, told)()
	}
}

func (g goal) verdict(r ratio) string {
	switch {
	case g.want == 0:
		return "no goal"
	case g.atMost && r.median <= g.want, !g.atMost && r.median >= g.want:
		return "pass"
	}
	return "MISS"
}

func (g goal) wanted() string {
	sign := ">="
	if g.atMost {
		sign = "<="
	}
	if g.want == 0 {
		return ""
	}
	return fmt.Sprintf("%s %.2f", sign, g.want)
}

// writeReport prints everything that was measured.
func writeReport(out io.Writer, s settings, groups []*group) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "clinsource bench, %s: medians of %d interleaved rounds of %v, %d callers\n",
		time.Now().Format("2006-01-02 15:04"), s.rounds, s.lap, s.callers)
	fmt.Fprintf(&text, "%s; the load generator is one of the processes on these cores\n", machine())
	for _, g := range groups {
		g.writeTo(&text)
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\nratio\tgoal\tmedian\trounds\t\n")
	for _, g := range groups {
		for _, goal := range g.goals {
			r := goal.ratios()
			fmt.Fprintf(table, "%s\t%s\t%.2f\t%.2f..%.2f\t%s\n", goal.what, goal.wanted(), r.median, r.least, r.most, goal.verdict(r))
		}
	}
	_ = table.Flush() // Into memory.
	_, err := out.Write(text.Bytes())
	return err
}

// writeTo prints a group: how fast, and where the time went.
func (g *group) writeTo(text *bytes.Buffer) {
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(text, "\n%s\n", g.title)
	unit := "per s"
	if g.size > 0 {
		unit = "MB/s"
	}
	fmt.Fprintf(table, "\t%s\tleast\tmost\tp50 ms\tp99 ms\t\n", unit)
	for _, c := range g.contenders {
		rate := func(l lap) float64 {
			if g.size > 0 {
				return l.rate() * float64(g.size) / 1e6
			}
			return l.rate()
		}
		rates := make([]float64, len(c.laps))
		for i, l := range c.laps {
			rates[i] = rate(l)
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t\n", padded(c.name), median(rates), slices.Min(rates), slices.Max(rates),
			milliseconds(over(c.laps, func(l lap) time.Duration { return percentile(l.times, 0.50) })),
			milliseconds(over(c.laps, func(l lap) time.Duration { return percentile(l.times, 0.99) })))
	}
	_ = table.Flush()
	g.writeCPU(text)
}

// padded keeps names to the left in a table of numbers to the right.
func padded(name string) string { return fmt.Sprintf("%-40s", name) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// writeCPU prints what an operation cost each process, and how busy the machine
// was with it.
func (g *group) writeCPU(text *bytes.Buffer) {
	names := slices.SortedFunc(maps.Keys(g.contenders[0].laps[0].cpu), func(a, b string) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(name string) bool { return name == idleKey || !g.notable(name) })
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%s\t%s\tall\tcores\tothers\tidle\t\n", padded("CPU ms an "+g.unit), strings.Join(names, "\t"))
	for _, c := range g.contenders {
		fmt.Fprintf(table, "%s\t", padded(c.name))
		for _, name := range names {
			fmt.Fprintf(table, "%.3f\t", over(c.laps, func(l lap) float64 { return l.perOp(name) }))
		}
		fmt.Fprintf(table, "%.3f\t%.2f\t%.2f\t%.2f\t\n",
			over(c.laps, func(l lap) float64 { return milliseconds(l.used()) / float64(l.ops) }),
			over(c.laps, func(l lap) float64 { return l.used().Seconds() / l.took.Seconds() }),
			over(c.laps, func(l lap) float64 {
				return max(0, float64(runtime.NumCPU())-(l.used()+l.cpu[idleKey]).Seconds()/l.took.Seconds())
			}),
			over(c.laps, func(l lap) float64 { return l.cpu[idleKey].Seconds() / l.took.Seconds() }))
	}
	_ = table.Flush()
}

// notable reports whether a process took a hundredth of any contender's CPU time.
func (g *group) notable(name string) bool {
	return slices.ContainsFunc(g.contenders, func(c *contender) bool {
		return over(c.laps, func(l lap) float64 { return float64(l.cpu[name]) / float64(l.used()+1) }) >= 0.01
	})
}

// order puts the bench first and what is nearest to it next.
func order(process string) int {
	return slices.Index([]string{"bench", "project-api", "vitals-rpc", "bare", "dicom-rpc", "sink", "epro-rpc", "subject-rpc"}, process) & 0xff
}

// used is the CPU time of all measured processes.
func (l lap) used() (sum time.Duration) {
	for name, d := range l.cpu {
		if name != idleKey {
			sum += d
		}
	}
	return sum
}

func (l lap) perOp(process string) float64 { return milliseconds(l.cpu[process]) / float64(l.ops) }

// machine says what the figures were taken on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d CPUs (%s), %s, load %s", runtime.NumCPU(), strings.TrimSpace(model), runtime.Version(), strings.TrimSpace(string(load)))
}
