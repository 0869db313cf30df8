package repo_test

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

// leaks are texts that belong to one machine or one person and to no
// repository. The expressions do not match their own source.
var leaks = []struct {
	what    string
	found   *regexp.Regexp
	instead string
}{
	{"a path of one machine", regexp.MustCompile(`(?:^|[\s"'=(:,\x60])/(?:work|root|home|Users)/[A-Za-z0-9._]`),
		"write it relative to the repository's root, or take it from a flag"},
	{"a registry or proxy host", regexp.MustCompile(`\b(?:proxy\.golang|sum\.golang|goproxy|registry\.npmjs|registry-1\.docker|pypi)\.(?:org|io|cn|com)\b`),
		"leave it to the environment (GOPROXY, the container engine's configuration)"},
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}`),
		"make keys at run time (internal/devcert), and take it out of git's history too"},
	{"a signed token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`),
		"issue tokens at run time (clinctl token)"},
}

// keyFiles are names under which keys lie.
var keyFiles = regexp.MustCompile(`\.(?:key|pem|p12|pfx|jks)$|(?:^|/)id_(?:rsa|ecdsa|ed25519)$|(?:^|/)\.env$`)

func TestNothingOfOneMachineIsCheckedIn(t *testing.T) {
	for _, name := range tracked(t) {
		if keyFiles.MatchString(name) {
			t.Errorf("%s: key material in git: make it at run time under a folder that .gitignore names", name)
		}
		if slices.Contains([]string{".sum", ".dcm", ".png"}, path.Ext(name)) {
			continue
		}
		text, ok := content(t, name)
		if !ok || !utf8.Valid(text) {
			continue
		}
		for _, leak := range leaks {
			for _, at := range leak.found.FindAllIndex(text, -1) {
				t.Errorf("%s:%d: %s: %s", name, 1+bytes.Count(text[:at[1]], []byte("\n")), leak.what, leak.instead)
			}
		}
	}
}

// Folders that hold keys and data of a running suite stay out of git.
func TestRunTimeFoldersAreIgnored(t *testing.T) {
	for _, name := range tracked(t) {
		if under(name, "bin", "var", "certs/dev") {
			t.Errorf("%s is made at run time: take it out of git, .gitignore names its folder", name)
		}
	}
}

func TestLeaksAreSeen(t *testing.T) {
	slash := "/"
	for text, what := range map[string]string{
		"cd " + slash + "home/ann/src":                                                       "a path of one machine",
		`path: "` + slash + `root/x"`:                                                        "a path of one machine",
		"https://example.org" + slash + "home/page":                                          "",
		"internal" + slash + "work/queue.go":                                                 "",
		"GOPROXY=https://goproxy" + ".cn":                                                    "a registry or proxy host",
		"-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqh":                                "a private key",
		"wants a -----BEGIN " + "PRIVATE KEY----- block":                                     "",
		"eyJ" + "hbGciOiJFUzI1NiIsIn.eyJ" + "zdWIiOiJkZW1vIiwicm9s.c2lnbmF0dXJlc2lnbmF0dXJl": "a signed token",
	} {
		var seen string
		for _, leak := range leaks {
			if leak.found.MatchString(text) {
				seen = leak.what
			}
		}
		if seen != what {
			t.Errorf("%q seen as %q, want %q", text, seen, what)
		}
	}
	for name, key := range map[string]bool{"certs/dev/ca.key": true, "a/id_rsa": true, "docs/key.md": false, "certs/dev/ca.crt": false} {
		if keyFiles.MatchString(name) != key {
			t.Errorf("%s: is a key file %v, want %v", name, !key, key)
		}
	}
}
