package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// storeEnv holds the PostgreSQL URL, of the role that owns the database; empty
// for embedded storage. A URL may hold a password, so it is in the environment and
// never among the arguments, which every user of the machine can read.
const storeEnv = "CLINSOURCE_STORE"

// store is where the rows of all services lie.
type store struct {
	url  *url.URL // nil: in SQLite files
	data string
	bin  string
}

func newStore(s settings) (store, error) {
	st := store{data: s.data, bin: s.bin}
	text := os.Getenv(storeEnv)
	if text == "" {
		return st, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.User.Username() == "" {
		return st, errors.New("STORE: write postgres://owner@host:port/database")
	}
	st.url = u
	return st, os.Unsetenv(storeEnv) // It is the owner's; the services connect as their own roles.
}

// passwords is the folder with the passwords of the services' roles.
func (s store) passwords() string { return filepath.Join(s.data, "postgres") }

// migrate brings the database up to date before anything starts.
func (s store) migrate(ctx context.Context) error {
	if s.url == nil {
		return nil
	}
	plain := *s.url
	password, given := plain.User.Password()
	plain.User = url.User(plain.User.Username())
	c := exec.CommandContext(ctx, filepath.Join(s.bin, "clinctl"), "migrate", "--passwords", s.passwords())
	c.Env = append(os.Environ(), storeEnv+"="+plain.String())
	if given {
		c.Env = append(c.Env, "PGPASSWORD="+password)
	}
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("STORE: migrate %s: %w", plain.Redacted(), err)
	}
	return os.Unsetenv("PGPASSWORD") // The owner's too.
}

// place puts the block Postgres in place of a config's DataFile, and says whether
// it changed anything: with embedded storage it does not, nor for a program that
// keeps no rows.
func (s store) place(program string, doc *yaml.Node) bool {
	if s.url == nil {
		return false
	}
	root := doc.Content[0]
	role := "clinsource_" + strings.TrimSuffix(program, "-rpc")
	at := *s.url
	at.User = url.User(role)
	scalar := func(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text} }
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "DataFile" {
			root.Content[i] = scalar("Postgres")
			root.Content[i+1] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
				scalar("Url"), scalar(at.String()), scalar("PasswordFile"), scalar(filepath.Join(s.passwords(), role+".password")),
			}}
			return true
		}
	}
	return false
}
