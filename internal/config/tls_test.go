package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/zrpc"

	"clinsource/internal/corpus"
	"clinsource/internal/devcert"
	"clinsource/internal/mtls"
)

// The article's two blocks, character for character.
const articleServer = `Name: vitals.rpc
ListenOn: 0.0.0.0:8080
Etcd:
  Hosts:
  - 127.0.0.1:2379
  Key: vitals.rpc

# gRPC Server 配置
RpcServerConf:
  Tls:
    CertFile: "./etc/server.crt" # 证书文件路径
    KeyFile:  "./etc/server.key"  # 私钥文件路径
    # 如果需要客户端也提供证书进行双向认证
    # ClientCaFile: "./etc/client-ca.pem" 
`

const articleClient = `# 调用方的 zrpc 配置
VitalsRpc:
  Etcd:
    Hosts:
    - 127.0.0.1:2379
    Key: vitals.rpc
  Tls:
    ServerName: "your.server.com" # 证书中绑定的域名，如果是自签名，可以和服务端保持一致
    CertFile: "./etc/server.crt"   # 信任服务端的证书
`

type vitals struct {
	Inner
	Peers mtls.PeerList
}

// Inner embeds what embeds: found all the same.
type Inner struct {
	zrpc.RpcServerConf
	Tls mtls.ServerFiles
}

func TestTheBlocksAreTheArticles(t *testing.T) {
	text, err := os.ReadFile(corpus.Shared(t, "mission-article.zh.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []string{articleServer, articleClient} {
		if !strings.Contains(string(text), "```yaml\n"+block+"```") {
			t.Errorf("the article has no such block:\n%s", block)
		}
	}
}

// inDevelopmentTree goes where the development certificates are.
func inDevelopmentTree(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	if _, err := devcert.Ensure(filepath.Join("certs", "dev"), time.Now()); err != nil {
		t.Fatal(err)
	}
}

// correctedBlock takes what an error offers to be pasted.
func correctedBlock(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	_, block, found := strings.Cut(err.Error(), "in place of what is there:\n\n")
	if !found {
		t.Fatalf("no corrected block in: %v", err)
	}
	return block
}

func TestArticleServerBlock(t *testing.T) {
	inDevelopmentTree(t)
	rest := "Peers: {vitals.VitalsService: [project-api]}\n"
	err := LoadBytes("etc/vitals-rpc.yaml", []byte(articleServer+rest), &vitals{})
	block := correctedBlock(t, err)
	if want := "etc/vitals-rpc.yaml:9: unknown key RpcServerConf: its keys stand one level up, beside it"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nlacks %s", err, want)
	}
	before, _, _ := strings.Cut(articleServer, "RpcServerConf:")
	var c vitals
	if err := LoadBytes("etc/vitals-rpc.yaml", []byte(before+rest+block), &c); err != nil {
		t.Fatalf("the corrected block is refused: %v\n%s", err, block)
	}
	if _, err := mtls.NewServer(c.Tls); err != nil {
		t.Errorf("the corrected block does not start: %v\n%s", err, block)
	}
}

func TestArticleClientBlock(t *testing.T) {
	inDevelopmentTree(t)
	head := "Name: project-api\nPort: 8443\n"
	err := LoadBytes("etc/project-api.yaml", []byte(head+articleClient), &gateway{})
	block := correctedBlock(t, err)
	for _, want := range []string{"missing required key VitalsRpc.Tls.CaFile", "missing required key VitalsRpc.Tls.KeyFile"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	want := `VitalsRpc: # keep its other keys
  Tls:
    ServerName: vitals-rpc # a DNS SAN of the called process's certificate
    CaFile: certs/dev/ca.crt # the CA of the called process's certificate
    CertFile: certs/dev/project-api.crt # this process's own certificate, not the server's
    KeyFile: certs/dev/project-api.key # the private key of CertFile
`
	if block != want {
		t.Errorf("the block is\n%s\nwant\n%s", block, want)
	}
	before, _, _ := strings.Cut(articleClient, "  Tls:")
	_, tls, _ := strings.Cut(block, "\n")
	var c gateway
	if err := LoadBytes("etc/project-api.yaml", []byte(head+before+tls), &c); err != nil {
		t.Fatalf("the corrected block is refused: %v", err)
	}
	if _, err := mtls.NewClient(c.VitalsRpc.Tls); err != nil {
		t.Errorf("the corrected block does not start: %v", err)
	}
}

// Other ways to get the TLS block wrong are answered by the block as well; a
// right one is not.
func TestTLSAdvice(t *testing.T) {
	inDevelopmentTree(t)
	for _, c := range []struct {
		name, was, is string
		where         string // of the advice
	}{
		{"no block", "Tls:\n  CertFile: certs/dev/vitals-rpc.crt\n  KeyFile: certs/dev/vitals-rpc.key\n  ClientCaFile: certs/dev/ca.crt\n", "", "f.yaml: "},
		{"empty block", "Tls:\n  CertFile: certs/dev/vitals-rpc.crt\n  KeyFile: certs/dev/vitals-rpc.key\n  ClientCaFile: certs/dev/ca.crt\n", "Tls:\n", "f.yaml:32: "},
		{"keys at the top", "Tls:\n  CertFile: certs/dev/vitals-rpc.crt\n  KeyFile: certs/dev/vitals-rpc.key\n  ClientCaFile: certs/dev/ca.crt\n", "CertFile: certs/dev/vitals-rpc.crt\nKeyFile: certs/dev/vitals-rpc.key\n", "f.yaml:33: "},
		{"a switch", "  ClientCaFile: certs/dev/ca.crt\n", "  ClientCaFile: certs/dev/ca.crt\n  Enabled: false\n", "f.yaml:32: "},
		{"a client's key at a server", "  ClientCaFile: certs/dev/ca.crt\n", "  CaFile: certs/dev/ca.crt\n", "f.yaml:32: "},
		{"not a block", "Tls:\n  CertFile: certs/dev/vitals-rpc.crt\n  KeyFile: certs/dev/vitals-rpc.key\n  ClientCaFile: certs/dev/ca.crt\n", "Tls: true\n", "f.yaml:32: "},
		{"client without block", "  Tls:\n    ServerName: subject-rpc\n    CaFile: certs/dev/ca.crt\n    CertFile: certs/dev/vitals-rpc.crt\n    KeyFile: certs/dev/vitals-rpc.key\n", "", "f.yaml:40: "},
	} {
		text := strings.Replace(sample, c.was, c.is, 1)
		if text == sample {
			t.Fatalf("%s: nothing replaced", c.name)
		}
		err := LoadBytes("f.yaml", []byte(text), &server{})
		block := correctedBlock(t, err)
		if !strings.Contains(err.Error(), "\n"+c.where+"TLS cannot be left out") {
			t.Errorf("%s: the advice is not at %q: %v", c.name, c.where, err)
		}
		if strings.Count(err.Error(), "TLS cannot be left out") != 1 {
			t.Errorf("%s: more than the one block is answered: %v", c.name, err)
		}
		for _, key := range []string{"CertFile: certs/dev/vitals-rpc.crt", "KeyFile: certs/dev/vitals-rpc.key", "certs/dev/ca.crt"} {
			if !strings.Contains(block, key) {
				t.Errorf("%s: the block lacks %s:\n%s", c.name, key, block)
			}
		}
	}
	err := LoadBytes("f.yaml", []byte(strings.Replace(sample, "Timeout: 3000", "Timeuot: 3000", 1)), &server{})
	if err == nil || strings.Contains(err.Error(), "TLS") {
		t.Errorf("TLS is right here: %v", err)
	}
}

// Paths of files that exist are the operator's and stay.
func TestAdviceKeepsExistingFiles(t *testing.T) {
	inDevelopmentTree(t)
	for _, name := range []string{"own.crt", "own.key", "own-ca.crt"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "Name: hospital.gateway\nPort: 1\nVitalsRpc:\n  Target: x\n  Tls: {ServerName: vitals.hospital.example, CAFILE: own-ca.crt, CertFile: own.crt, KeyFile: own.key, Insecure: true}\n"
	want := "ServerName: vitals.hospital.example #|CaFile: own-ca.crt #|CertFile: own.crt #|KeyFile: own.key #"
	block := correctedBlock(t, LoadBytes("f.yaml", []byte(text), &gateway{}))
	for _, part := range strings.Split(want, "|") {
		if !strings.Contains(block, part) {
			t.Errorf("lacks %q:\n%s", part, block)
		}
	}
	if err := os.Remove("own.key"); err != nil {
		t.Fatal(err)
	}
	block = correctedBlock(t, LoadBytes("f.yaml", []byte(text), &gateway{}))
	if !strings.Contains(block, "CertFile: certs/dev/hospital-gateway.crt #") || !strings.Contains(block, "KeyFile: certs/dev/hospital-gateway.key #") {
		t.Errorf("half of a pair was kept:\n%s", block)
	}
}

func TestServerNameGuess(t *testing.T) {
	for key, want := range map[string]string{"VitalsRpc": "vitals-rpc", "DicomRpc": "dicom-rpc", "EproRpc": "epro-rpc", "SubjectRpc": "subject-rpc", "MedicationRpc": "subject-rpc"} {
		if got := serverOf([]string{key}); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}
