package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
)

// suiteData makes a data folder of the shape that the services make, with one
// image per content.
func suiteData(t *testing.T, images ...string) string {
	t.Helper()
	data := t.TempDir()
	for _, s := range services {
		path := filepath.Join(data, s.name, s.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		run(t, path, `PRAGMA journal_mode=WAL`,
			`CREATE TABLE records (record_id TEXT, version BIGINT, content TEXT, PRIMARY KEY (record_id, version))`,
			`CREATE TABLE audit_events (seq INTEGER PRIMARY KEY, actor TEXT)`,
			`CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
			`INSERT INTO audit_events (actor) VALUES ('a'), ('b'), ('')`)
	}
	for i, content := range images {
		id := fmt.Sprintf("0190-%02d", i)
		sum := sha256.Sum256([]byte(content))
		run(t, filepath.Join(data, imageService, "images.db"), fmt.Sprintf(`INSERT INTO records VALUES ('%s', 1, '{"size":%d,"sha256":"%s"}')`,
			id, len(content), hex.EncodeToString(sum[:])))
		put(t, filepath.Join(data, imageFolder, imagePlace(id)), content)
	}
	return data
}

func run(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func key(t *testing.T) *age.X25519Identity {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRestoreGivesWhatWasThere(t *testing.T) {
	data, k := suiteData(t, "first", strings.Repeat("second", 100_000), ""), key(t)
	var out bytes.Buffer
	wrote, err := Write(within(t), Files(data), &out, k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if wrote.Images != 3 || wrote.Rows() != 4*3+3 || len(wrote.Tables) != 8 {
		t.Errorf("the manifest says %d images, %d rows, %d tables", wrote.Images, wrote.Rows(), len(wrote.Tables))
	}
	if bytes.Contains(out.Bytes(), []byte("record")) {
		t.Error("the backup can be read without the key")
	}
	target := filepath.Join(t.TempDir(), "new", "data")
	m, err := Restore(within(t), bytes.NewReader(out.Bytes()), target, k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wrote, m); diff != "" {
		t.Errorf("-written +restored:\n%s", diff)
	}
	for id, want := range map[string]string{"0190-00": "first", "0190-02": ""} {
		got, err := os.ReadFile(filepath.Join(target, imageFolder, imagePlace(id)))
		if err != nil || string(got) != want {
			t.Errorf("image %s holds %q (%v)", id, got, err)
		}
	}
	again, err := Write(within(t), Files(target), io.Discard, k.Recipient())
	again.Created = wrote.Created
	if diff := cmp.Diff(wrote, again); diff != "" || err != nil {
		t.Errorf("a backup of the restored data differs (%v):\n%s", err, diff)
	}
	left, err := os.ReadDir(data)
	if err != nil || len(left) != len(services) {
		t.Errorf("the backup left something in the data folder: %v (%v)", left, err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	data, k := suiteData(t, "first"), key(t)
	var out bytes.Buffer
	if _, err := Write(within(t), Files(data), &out, k.Recipient()); err != nil {
		t.Fatal(err)
	}
	whole := out.Bytes()
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	full := filepath.Join(t.TempDir(), "full")
	put(t, filepath.Join(full, "x"), "x")
	for name, test := range map[string]struct {
		in     []byte
		key    age.Identity
		target string
		want   string
	}{
		"another key":        {whole, key(t), "", "did not match"},
		"a cut file":         {whole[:len(whole)-100], k, "", "failed to decrypt"},
		"a changed byte":     {changed, k, "", ""},
		"no manifest":        {retarred(t, whole, k, func(h *tar.Header, b []byte) []byte { return unless(h.Name == manifestName, b) }), k, "", "has no end"},
		"a path outside":     {retarred(t, whole, k, renamed("subject-rpc/registry.db", "../registry.db")), k, "", "no file of this name"},
		"an unknown image":   {retarred(t, whole, k, renamed(imageFolder+"/"+imagePlace("0190-00"), imageFolder+"/99/0190-99")), k, "", "no rows"},
		"another content":    {retarred(t, whole, k, replaced("0190-00", "firsT")), k, "", "has other bytes"},
		"a database less":    {retarred(t, whole, k, func(h *tar.Header, b []byte) []byte { return unless(strings.HasPrefix(h.Name, "epro"), b) }), k, "", "epro-rpc"},
		"an image less":      {retarred(t, whole, k, func(h *tar.Header, b []byte) []byte { return unless(strings.Contains(h.Name, "0190"), b) }), k, "", "0 images"},
		"a folder with data": {whole, k, full, "not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			target := filepath.Join(parent, "data")
			if test.target != "" {
				target = test.target
			}
			_, err := Restore(within(t), bytes.NewReader(test.in), target, test.key)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("it left %v (%v)", left, err)
			}
		})
	}
}

// unless leaves an entry out.
func unless(out bool, b []byte) []byte {
	if out {
		return nil
	}
	return b
}

func renamed(from, to string) func(*tar.Header, []byte) []byte {
	return func(h *tar.Header, b []byte) []byte {
		if h.Name == from {
			h.Name = to
		}
		return b
	}
}

func replaced(id, content string) func(*tar.Header, []byte) []byte {
	return func(h *tar.Header, b []byte) []byte {
		if strings.HasSuffix(h.Name, id) {
			return []byte(content)
		}
		return b
	}
}

// retarred is the backup with its entries changed by someone who has the key.
func retarred(t *testing.T, whole []byte, k *age.X25519Identity, change func(*tar.Header, []byte) []byte) []byte {
	t.Helper()
	opened, err := age.Decrypt(bytes.NewReader(whole), k)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	from, to := tar.NewReader(opened), tar.NewWriter(sealed)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		b, readErr := io.ReadAll(from)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		if b = change(h, b); b == nil {
			continue
		}
		h.Size = int64(len(b))
		if err := to.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(to.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDamagedImagesAreNamed(t *testing.T) {
	data, k := suiteData(t, "first", "second", "third"), key(t)
	put(t, filepath.Join(data, imageFolder, imagePlace("0190-01")), "seconD")
	if err := os.Remove(filepath.Join(data, imageFolder, imagePlace("0190-02"))); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m, err := Write(within(t), Files(data), &out, k.Recipient())
	if !errors.Is(err, ErrDamaged) || cmp.Diff(m.Damaged, []string{"0190-01", "0190-02"}) != "" {
		t.Fatalf("damaged %v, %v", m.Damaged, err)
	}
	if _, err := Restore(within(t), &out, filepath.Join(t.TempDir(), "data"), k); err != nil {
		t.Errorf("what could be saved is not restored: %v", err)
	}
}

func TestWriteNamesWhatIsMissing(t *testing.T) {
	if _, err := Write(within(t), Files(t.TempDir()), io.Discard, key(t).Recipient()); err == nil || !strings.Contains(err.Error(), "vitals.db is not there") {
		t.Errorf("an empty folder: %v", err)
	}
}
