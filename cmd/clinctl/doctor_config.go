package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// configFile is what the doctor wants to know of a config.
type configFile struct {
	name  string              // Of its process.
	pairs [][2]string         // Certificate and key files.
	cas   []string            // Files of authorities.
	paths map[string]string   // DataFile, ImageDir.
	store string              // Postgres.Url.
	trust map[string][]string // A certificate's authorities, by its file.
}

// configs reads the configs, and lets each process check its own by -t: the
// strict loader, the files that it names, the peer lists.
func (d *doctor) configs(ctx context.Context) (configs []configFile) {
	files, err := filepath.Glob(filepath.Join(d.etc, "*.yaml"))
	if err != nil || len(files) == 0 {
		d.fail("configs", "run it in the repository's root, or name the folder with --etc", "no config in %s", d.etc)
		return nil
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		d.checkConfig(ctx, name, path)
		c, err := readConfig(name, path)
		if err != nil {
			d.fail("config "+name, "correct the file", "%v", err)
			continue
		}
		configs = append(configs, c)
	}
	return configs
}

func (d *doctor) checkConfig(ctx context.Context, name, path string) {
	about, binary := "config "+name, filepath.Join(d.bin, name)
	if _, err := os.Stat(binary); err != nil {
		d.warn(about, "name the folder of the binaries with --bin", "not checked: there is no %s", binary)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*questionWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "-f", path, "-t").CombinedOutput()
	if err != nil {
		d.fail(about, "correct "+path+"; docs/configuration.md explains each key", "%s", cmpText(lastLine(string(out)), err))
		return
	}
	d.ok(about, "%s is valid", path)
}

func cmpText(text string, err error) string {
	if text == "" {
		return err.Error()
	}
	return text
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func readConfig(name, path string) (configFile, error) {
	c := configFile{name: name, paths: map[string]string{}, trust: map[string][]string{}}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	c.walk(&root)
	return c, nil
}

// walk collects the files that a mapping names, at any depth: the keys are the
// same wherever they stand.
func (c *configFile) walk(n *yaml.Node) {
	values := map[string]string{}
	for i, child := range n.Content {
		c.walk(child)
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == "Postgres" {
			c.store = urlIn(n.Content[i+1])
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 && n.Content[i+1].Kind == yaml.ScalarNode {
			values[child.Value] = os.ExpandEnv(n.Content[i+1].Value)
		}
	}
	for _, key := range []string{"DataFile", "ImageDir"} {
		if v := values[key]; v != "" {
			c.paths[key] = v
		}
	}
	cert, key, ca := values["CertFile"], first(values, "KeyFile", "CertKeyFile"), first(values, "ClientCaFile", "CaFile", "CACertFile")
	if cert != "" && key != "" && !slices.Contains(c.pairs, [2]string{cert, key}) {
		c.pairs = append(c.pairs, [2]string{cert, key})
	}
	if ca != "" && !slices.Contains(c.cas, ca) {
		c.cas = append(c.cas, ca)
	}
	if cert != "" && ca != "" && !slices.Contains(c.trust[cert], ca) {
		c.trust[cert] = append(c.trust[cert], ca)
	}
}

func urlIn(n *yaml.Node) string {
	var block struct {
		Url string `yaml:"Url"`
	}
	if n.Decode(&block) != nil {
		return ""
	}
	return os.ExpandEnv(block.Url)
}

func first(values map[string]string, keys ...string) string {
	for _, k := range keys {
		if values[k] != "" {
			return values[k]
		}
	}
	return ""
}
