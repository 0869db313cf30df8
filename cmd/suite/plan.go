package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// plan is what runs: each process with its replicas, where they listen, and what
// each registers in etcd. It is read from the shipped configs, so that a port or
// key that is changed there is changed here.
type plan struct {
	kinds []kind
}

// kind is one program and its replicas.
type kind struct {
	name     string
	keys     []string // Service keys that it registers under.
	replicas []replica
}

// replica is one process. The first runs on the shipped config; each further one
// on a copy, in the data folder, that differs in its ports alone; with PostgreSQL
// all run on copies, which differ in where the rows lie.
type replica struct {
	name    string // vitals-rpc, vitals-rpc-2, ...
	config  string
	listen  string // host:port
	metrics int
}

// What separates the ports of replicas: vitals-rpc 9101, 9111, ...; its metrics
// 9201, 9211, ...; the gateway 8443, 8444, ...
const (
	portStep        = 10
	gatewayPortStep = 1
	mostReplicas    = 9
)

// programs in the order in which they are listed and stopped; the gateway first.
var programs = []string{"project-api", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"}

// parseReplicas reads "vitals-rpc=2,project-api=2".
func parseReplicas(text string) (map[string]int, error) {
	counts := map[string]int{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, number, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(number)
		switch {
		case !slices.Contains(programs, name):
			return nil, fmt.Errorf("--replicas: %q is none of %s", name, strings.Join(programs, ", "))
		case err != nil || n < 1 || n > mostReplicas:
			return nil, fmt.Errorf("--replicas: %q is not NAME=N with N from 1 to %d", part, mostReplicas)
		}
		counts[name] = n
	}
	return counts, nil
}

func makePlan(data string, counts map[string]int, st store) (*plan, error) {
	p := &plan{}
	for _, name := range programs {
		k, err := makeKind(data, name, max(1, counts[name]), st)
		if err != nil {
			return nil, fmt.Errorf("etc/%s.yaml: %w", name, err)
		}
		p.kinds = append(p.kinds, k)
	}
	return p, nil
}

func makeKind(data, name string, n int, st store) (kind, error) {
	shipped := "etc/" + name + ".yaml"
	text, err := os.ReadFile(shipped)
	if err != nil {
		return kind{}, err
	}
	k := kind{name: name}
	for i := range n {
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return kind{}, err
		}
		r := replica{name: name, config: shipped}
		if r.listen, r.metrics, err = movePorts(&doc, i); err != nil {
			return kind{}, err
		}
		k.keys = keysOf(&doc)
		if i > 0 {
			r.name = fmt.Sprintf("%s-%d", name, i+1)
		}
		if st.place(name, &doc) || i > 0 {
			r.config = filepath.Join(data, "etc", r.name+".yaml")
			if err := writeConfig(r.config, &doc); err != nil {
				return kind{}, err
			}
		}
		k.replicas = append(k.replicas, r)
	}
	return k, nil
}

// movePorts changes a config into that of the i-th replica, from 0.
func movePorts(doc *yaml.Node, i int) (listen string, metrics int, err error) {
	host, port := find(doc, "Host"), find(doc, "Port")
	step := gatewayPortStep
	var at string
	if l := find(doc, "ListenOn"); l != nil {
		step = portStep
		colon := strings.LastIndexByte(l.Value, ':')
		at, port = l.Value[:max(colon, 0)], &yaml.Node{Value: l.Value[colon+1:]}
		defer func() { l.Value = listen }()
	} else if host != nil {
		at = host.Value
	}
	metricsPort := find(doc, "DevServer", "Port")
	if a := find(doc, "Advertise"); a != nil && i > 0 {
		if a.Value, err = moved(a.Value, i*step); err != nil {
			return "", 0, fmt.Errorf("Advertise: %w", err)
		}
	}
	if port == nil || metricsPort == nil {
		return "", 0, errors.New("neither ListenOn nor Host and Port, or no DevServer.Port")
	}
	first, err := strconv.Atoi(port.Value)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: %w", port.Value, err)
	}
	if metrics, err = strconv.Atoi(metricsPort.Value); err != nil {
		return "", 0, fmt.Errorf("DevServer.Port: %w", err)
	}
	metrics += i * portStep
	port.Value, metricsPort.Value = strconv.Itoa(first+i*step), strconv.Itoa(metrics)
	return at + ":" + port.Value, metrics, nil
}

// moved gives host:port with another port.
func moved(addr string, by int) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+by)), err
}

// keysOf gives what the process registers under; none for one without Etcd.
func keysOf(doc *yaml.Node) (keys []string) {
	if key := find(doc, "Etcd", "Key"); key != nil {
		keys = append(keys, key.Value)
	}
	if also := find(doc, "AlsoKeys"); also != nil {
		for _, key := range also.Content {
			keys = append(keys, key.Value)
		}
	}
	return keys
}

// find walks down the mappings of a document; nil where there is no such key.
func find(n *yaml.Node, path ...string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	for _, name := range path {
		var next *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			return nil
		}
		n = next
	}
	return n
}

func writeConfig(path string, doc *yaml.Node) error {
	text, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// etcdPorts are the launcher's own choice, not of any config.
var etcdPorts = []int{2379, 2380}

// ports are all that the suite is about to listen on.
func (p *plan) ports() []int {
	taken := map[int]bool{}
	for _, port := range etcdPorts {
		taken[port] = true
	}
	for _, k := range p.kinds {
		for _, r := range k.replicas {
			if port, err := strconv.Atoi(r.listen[strings.LastIndexByte(r.listen, ':')+1:]); err == nil {
				taken[port] = true
			}
			taken[r.metrics] = true
		}
	}
	return slices.Sorted(maps.Keys(taken))
}

// kindOf gives the kind by its name.
func (p *plan) kindOf(name string) kind {
	i := slices.IndexFunc(p.kinds, func(k kind) bool { return k.name == name })
	return p.kinds[i]
}
