package mtls

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clinsource/internal/corpus"
)

// runShell runs lines of a document in a folder of their own.
func runShell(t *testing.T, dir, script string) {
	t.Helper()
	corpus.Tool(t, "openssl")
	cmd := exec.CommandContext(t.Context(), "sh", "-eu")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// documentedRecipes takes the article's lines and ours out of certs/README.md.
func documentedRecipes(t *testing.T) (article, ours string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus.Root(t), "certs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(text), "\n```") {
		switch {
		case i%2 == 1 && strings.HasPrefix(part, "sh\n"):
			ours = strings.TrimPrefix(part, "sh\n")
		case i%2 == 1 && strings.Contains(part, "-signkey server.key"):
			article = part
		}
	}
	if article == "" || ours == "" {
		t.Fatal("certs/README.md has lost a recipe")
	}
	return article, ours
}

func TestDocumentedRecipeIsAccepted(t *testing.T) {
	_, ours := documentedRecipes(t)
	s := newStore(t)
	runShell(t, s.dir, ours)
	server := must[*Server](t)(NewServer(s.server("vitals-rpc", "ca.crt")))
	client := must[*Client](t)(NewClient(s.client("vitals-rpc", "ca.crt", "vitals-rpc")))
	address := serve(t, server.Credentials(), PeerList{healthService: {"vitals-rpc"}})
	if err := unary(t, dial(t, address, client.Credentials())); err != nil {
		t.Error(err)
	}
}

func TestArticleRecipeIsRefusedForItsCommonName(t *testing.T) {
	article, _ := documentedRecipes(t)
	s := newStore(t)
	// The article answers openssl's questions by hand.
	runShell(t, s.dir, strings.Replace(article, "req -new", "req -new -subj /CN=vitals-rpc", 1))
	files := s.server("server", "server.crt")
	_, err := NewServer(files)
	if err == nil {
		t.Fatal("a certificate without a DNS SAN was accepted")
	}
	for _, part := range []string{files.CertFile, "no DNS name", "CN=vitals-rpc", "subjectAltName", "certs/README.md"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("lacks %q: %v", part, err)
		}
	}
}
