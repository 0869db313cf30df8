package scenario

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// containers is the stack of a compose project on this machine. Its processes
// are processes of this machine too: they are signalled, measured and looked at
// by their ids like the launcher's, which wants root. A signal by docker kill
// would be an operator's, after which nothing is restarted.
type containers struct {
	project string
	since   time.Time
}

// newContainers takes the value of CLINSOURCE_TARGET, compose or compose:PROJECT.
func newContainers(target string) (*containers, error) {
	kind, project, _ := strings.Cut(target, ":")
	if kind != "compose" {
		return nil, fmt.Errorf("CLINSOURCE_TARGET=%s: it is compose or compose:PROJECT, or not set", target)
	}
	c := &containers{project: project, since: time.Now()}
	if project == "" {
		c.project = "clinsource"
	}
	if len(c.ids("project-api")) == 0 {
		return nil, fmt.Errorf("no container of project %s runs project-api: make compose-up", c.project)
	}
	return c, nil
}

// ids gives the containers of a service, those that just restart too. etcd's members are services of
// their own: etcd-1, etcd-2, ...
func (c *containers) ids(name string) (ids []string) {
	out, err := exec.Command("docker", "ps", "-a", "--filter", "label=com.docker.compose.project="+c.project,
		"--format", `{{.ID}} {{.Label "com.docker.compose.service"}}`).Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		id, service, _ := strings.Cut(strings.TrimSpace(line), " ")
		if service == name || strings.HasPrefix(service, name+"-") && name == "etcd" {
			ids = append(ids, id)
		}
	}
	return ids
}

// inspect asks one thing of every container of a service.
func (c *containers) inspect(name, format string) []string {
	ids := c.ids(name)
	if len(ids) == 0 {
		return nil
	}
	out, err := exec.Command("docker", append([]string{"inspect", "-f", format}, ids...)...).Output()
	if err != nil {
		return nil // One has just ended; whoever asks looks again.
	}
	return strings.Fields(string(out))
}

// find gives the ids of the replicas of a process.
func (c *containers) find(name string) (pids []int) {
	for _, text := range c.inspect(name, "{{.State.Pid}}") {
		if pid, err := strconv.Atoi(text); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// folder is where the process's data folder lies on this machine.
func (c *containers) folder(name string) string {
	sources := c.inspect(name, `{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}`)
	if len(sources) == 0 {
		return "/nonexistent"
	}
	return filepath.Join(sources[0], name)
}

// metrics are the addresses of /metrics of every replica, in the stack's network.
func (c *containers) metrics(name string, port int) (urls []string) {
	for _, ip := range c.inspect(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}") {
		url := fmt.Sprintf("http://%s/metrics", net.JoinHostPort(ip, strconv.Itoa(port)))
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			urls = append(urls, url)
		}
	}
	return urls
}

// log gives what a process has logged since this run began.
func (c *containers) log(t testing.TB, name string) string {
	t.Helper()
	var all strings.Builder
	for _, id := range c.ids(name) {
		out, err := exec.Command("docker", "logs", "--since", c.since.Format(time.RFC3339Nano), id).CombinedOutput()
		if err != nil {
			t.Fatalf("docker logs: %v\n%s", err, out)
		}
		all.Write(out)
	}
	return all.String()
}

// needRoot says so where signals and /proc would say it less clearly.
func needRoot() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("CLINSOURCE_TARGET is for root: these stories stop, kill and measure the containers' processes")
	}
	return nil
}
