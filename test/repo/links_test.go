package repo_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clinsource/internal/corpus"
)

// TestLinksLeadSomewhere follows the relative links of all Markdown files.
func TestLinksLeadSomewhere(t *testing.T) {
	root := corpus.Root(t)
	seen := 0
	for _, name := range tracked(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		text, ok := content(t, name)
		if !ok {
			continue
		}
		seen++
		for _, link := range relativeLinks(string(text)) {
			target := path.Join(path.Dir(name), link)
			if strings.HasPrefix(link, "/") {
				target = link // Markdown viewers disagree on what the root is.
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil || path.IsAbs(link) {
				t.Errorf("%s links to %s, where there is nothing (want a path relative to the file)", name, link)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no Markdown file in the tree: the rule no longer sees it")
	}
}

var (
	codeBlock  = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```|`[^`\n]+`")
	inlineLink = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)`)
	refLink    = regexp.MustCompile(`(?m)^\s{0,3}\[[^\]]+\]:\s*<?([^>\s]+)`)
	elsewhere  = regexp.MustCompile(`^(?:[a-z][a-z0-9+.-]*:|//|#)`)
)

// relativeLinks gives the targets within the repository, without anchors.
func relativeLinks(text string) []string {
	text = codeBlock.ReplaceAllString(text, "")
	var links []string
	for _, match := range append(inlineLink.FindAllStringSubmatch(text, -1), refLink.FindAllStringSubmatch(text, -1)...) {
		if link, _, _ := strings.Cut(match[1], "#"); !elsewhere.MatchString(match[1]) {
			links = append(links, link)
		}
	}
	return links
}

func TestRelativeLinks(t *testing.T) {
	text := "See [a](docs/a.md), [b](../b.md#part \"B\"), ![c](c.svg), [d][d].\n[d]: d/e.md\n" +
		"[web](https://example.org/x.md) [mail](mailto:a@example.org) [here](#here) `[code](no.md)`\n```\n[block](no.md)\n```\n"
	if got := strings.Join(relativeLinks(text), " "); got != "docs/a.md ../b.md c.svg d/e.md" {
		t.Errorf("relative links: %s", got)
	}
}
