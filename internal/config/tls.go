package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"clinsource/internal/mtls"
)

// Tutorials on go-zero show TLS blocks that go-zero does not have: `Tls:`
// inside `RpcServerConf:`, a client whose `CertFile` is the server's. Whoever
// pastes one gets, after the errors themselves, the block that works. It keeps
// the paths that exist and puts the development certificates where there are
// none (a client's only CertFile is not kept: it was meant as CaFile).

// tlsTrouble is a mapping whose TLS block is wrong, missing or elsewhere.
type tlsTrouble struct {
	line int
	path []string // of the mapping; empty at the top
	tls  field    // the key that the block belongs under
	node *yaml.Node
}

var (
	serverFiles = reflect.TypeFor[mtls.ServerFiles]()
	clientFiles = reflect.TypeFor[mtls.ClientFiles]()
)

// tlsKeys are the keys by which a misplaced block is recognised.
var tlsKeys = []string{"ServerName", "CaFile", "ClientCaFile", "CertFile", "KeyFile"}

// noteTLS looks at a mapping that has problems and remembers it when its TLS
// block is among them.
func (c *checker) noteTLS(n *yaml.Node, known []field, path []string) {
	i := slices.IndexFunc(known, func(f field) bool { return f.typ == serverFiles || f.typ == clientFiles })
	if i < 0 {
		return
	}
	trouble := tlsTrouble{lineOf(n, path), path, known[i], n}
	list, _ := entries(n)
	for _, e := range list {
		_, isKnown := find(known, e.key.Value)
		switch {
		case strings.EqualFold(e.key.Value, trouble.tls.name):
			if fits(e.value, trouble.tls.typ) {
				return // the problems are others
			}
			trouble.line = e.key.Line
		case !isKnown && (isTLSKey(e.key.Value) || holdsTLS(e.value, trouble.tls.name)):
			trouble.line = e.key.Line
		}
	}
	c.trouble = append(c.trouble, trouble)
}

// fits checks a TLS block alone.
func fits(n *yaml.Node, t reflect.Type) bool {
	alone := &checker{}
	alone.value(n, t, []string{""}, false)
	return len(alone.problems) == 0
}

func isTLSKey(key string) bool {
	return slices.ContainsFunc(tlsKeys, func(k string) bool { return strings.EqualFold(k, key) })
}

func holdsTLS(n *yaml.Node, name string) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	return slices.ContainsFunc(pairs(n), func(e entry) bool { return strings.EqualFold(e.key.Value, name) || isTLSKey(e.key.Value) })
}

// adviseTLS writes a corrected block for each troubled mapping.
func (c *checker) adviseTLS() {
	for _, t := range c.trouble {
		where := c.file
		if t.line > 0 {
			where = fmt.Sprintf("%s:%d", c.file, t.line)
		}
		key := strings.Join(append(slices.Clone(t.path), t.tls.name), ".")
		c.advice = append(c.advice, fmt.Sprintf("%s: TLS cannot be left out or configured otherwise; write %s so, in place of what is there:\n\n%s", where, key, c.block(t)))
	}
}

// block renders the corrected TLS block at its place, ready to be pasted.
func (c *checker) block(t tlsTrouble) string {
	var b strings.Builder
	indent := ""
	for _, part := range t.path {
		name, _, _ := strings.Cut(part, "[") // an item of a list
		fmt.Fprintf(&b, "%s%s: # keep its other keys\n", indent, name)
		indent += "  "
	}
	fmt.Fprintf(&b, "%s%s:\n", indent, t.tls.name)
	written := scalars(t.node, t.tls.name)
	lines := c.serverLines(written)
	if t.tls.typ == clientFiles {
		lines = c.clientLines(written, t.path)
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "%s  %s: %s # %s\n", indent, l.key, quote(l.value), l.why)
	}
	return b.String()
}

type blockLine struct{ key, value, why string }

func (c *checker) serverLines(written map[string]string) []blockLine {
	cert, key := c.ownPair(written, true)
	return []blockLine{
		{"CertFile", cert, "this process's certificate, with its name as DNS SAN"},
		{"KeyFile", key, "the private key of CertFile"},
		{"ClientCaFile", existing(written["clientcafile"], devFile("ca.crt")), "the CA of the callers' certificates; every caller needs one"},
	}
}

func (c *checker) clientLines(written map[string]string, path []string) []blockLine {
	server := written["servername"]
	if server == "" || server == "your.server.com" { // the tutorials' placeholder
		server = serverOf(path)
	}
	cert, key := c.ownPair(written, written["cafile"] != "" || written["keyfile"] != "")
	return []blockLine{
		{"ServerName", server, "a DNS SAN of the called process's certificate"},
		{"CaFile", existing(written["cafile"], devFile("ca.crt")), "the CA of the called process's certificate"},
		{"CertFile", cert, "this process's own certificate, not the server's"},
		{"KeyFile", key, "the private key of CertFile"},
	}
}

// ownPair keeps certificate and key together: half of each would not fit.
func (c *checker) ownPair(written map[string]string, isOwn bool) (cert, key string) {
	name := c.process()
	cert, key = devFile(name+".crt"), devFile(name+".key")
	if isOwn && existing(written["certfile"], "") != "" && existing(written["keyfile"], "") != "" {
		return written["certfile"], written["keyfile"]
	}
	return cert, key
}

// process is whose configuration this is: the file's name where it is that of
// a process, else the Name in it (vitals.rpc runs as vitals-rpc).
func (c *checker) process() string {
	base := strings.TrimSuffix(filepath.Base(c.file), filepath.Ext(c.file))
	if slices.Contains(mtls.Processes(), base) {
		return base
	}
	if name := scalars(c.root, "")["name"]; name != "" {
		return strings.ReplaceAll(name, ".", "-")
	}
	return base
}

// serverOf guesses the process behind a client's key: VitalsRpc is answered
// by vitals-rpc. Medication lives in subject-rpc.
func serverOf(path []string) string {
	if len(path) == 0 {
		return "NAME-OF-THE-SERVER"
	}
	service, _ := strings.CutSuffix(strings.ToLower(path[len(path)-1]), "rpc")
	if service == "medication" {
		service = "subject"
	}
	return service + "-rpc"
}

// scalars collects the plain values of a mapping, of the block under name in
// it, and of that block where it was put into another one, by lower-case key.
func scalars(n *yaml.Node, name string) map[string]string {
	found := map[string]string{}
	list, _ := entries(n)
	for _, e := range list {
		switch {
		case e.value.Kind == yaml.ScalarNode && !isNull(e.value):
			found[strings.ToLower(e.key.Value)] = e.value.Value
		case name != "" && mayHold(e, name):
			for k, v := range scalars(e.value, name) {
				if isTLSKey(k) {
					found[k] = v
				}
			}
		}
	}
	return found
}

// mayHold tells where a TLS block may be found: under its own name, or in a
// block with such keys that is not another client's and not etcd's.
func mayHold(e entry, name string) bool {
	switch key := strings.ToLower(e.key.Value); {
	case e.value.Kind != yaml.MappingNode || key == "etcd":
		return false
	case strings.EqualFold(key, name) || strings.HasSuffix(key, "conf"):
		return true
	}
	return false
}

func existing(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	if _, err := os.Stat(path); err != nil {
		return otherwise
	}
	return path
}

func devFile(name string) string { return "certs/dev/" + name }

// quote leaves plain what YAML reads as that very text.
func quote(s string) string {
	text, err := yaml.Marshal(s)
	if err != nil {
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSuffix(string(text), "\n")
}
