package scenario

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"gopkg.in/yaml.v3"

	"clinsource/internal/mtls"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// addressOf are the fixed points of DESIGN 2.
var addressOf = map[string]string{
	"vitals-rpc": "127.0.0.1:9101", "dicom-rpc": "127.0.0.1:9102", "epro-rpc": "127.0.0.1:9103", "subject-rpc": "127.0.0.1:9104",
	"project-api": gatewayAddr,
}

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate of an authority, or one that signs itself.
func issue(t *testing.T, ca *identity, name string, change func(*x509.Certificate)) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	signer := identity{template, key}
	if ca != nil {
		signer = *ca
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{cert, key}
}

func (i identity) pair() []tls.Certificate {
	return []tls.Certificate{{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key, Leaf: i.cert}}
}

func authority(t *testing.T) identity {
	t.Helper()
	return issue(t, nil, "another CA", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.DNSNames = true, true, x509.KeyUsageCertSign, nil
	})
}

// developmentCA is the real one, with its key: what it issues here is of the
// right authority and wrong otherwise.
func developmentCA(t *testing.T) identity {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs+"/ca.crt", certs+"/ca.key")
	if err != nil {
		t.Fatal(err)
	}
	return identity{pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)}
}

// speak makes a TLS connection and says a little: with TLS 1.3 a server refuses
// a client's certificate only after the client's handshake is done.
func speak(t *testing.T, addr string, config *tls.Config) error {
	t.Helper()
	config.NextProtos = []string{"h2"}
	dialer := &tls.Dialer{Config: config}
	conn, err := dialer.DialContext(deadline(t, 5*time.Second), "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// Every door refuses whoever does not speak mutual TLS 1.3 with a certificate of
// our authority that is valid now.
func TestStrangersAreRefused(t *testing.T) {
	ca, other := developmentCA(t), authority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	good := issue(t, &ca, "project-api", nil)
	expired := issue(t, &ca, "project-api", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	notYet := issue(t, &ca, "project-api", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	onlyServer := issue(t, &ca, "project-api", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	for process, addr := range addressOf {
		t.Run(process, func(t *testing.T) {
			checkPlaintext(t, addr)
			if err := speak(t, addr, &tls.Config{RootCAs: roots, ServerName: process, Certificates: good.pair()}); err != nil {
				t.Fatalf("a good certificate is refused: %v", err)
			}
			wrongName := speak(t, addr, &tls.Config{RootCAs: roots, ServerName: "etcd", Certificates: good.pair()})
			if mismatch := (x509.HostnameError{}); !errors.As(wrongName, &mismatch) {
				t.Errorf("the server proves another name than its own: %v", wrongName)
			}
			if process == "project-api" {
				return // Apps need no certificate, and may speak TLS 1.2.
			}
			for name, config := range map[string]*tls.Config{
				"no certificate":            {},
				"another authority's":       {Certificates: issue(t, &other, "project-api", nil).pair()},
				"signed by itself":          {Certificates: issue(t, nil, "project-api", nil).pair()},
				"expired":                   {Certificates: expired.pair()},
				"not valid yet":             {Certificates: notYet.pair()},
				"not for clients":           {Certificates: onlyServer.pair()},
				"TLS 1.2, good certificate": {Certificates: good.pair(), MaxVersion: tls.VersionTLS12},
			} {
				config.RootCAs, config.ServerName = roots, process
				err := speak(t, addr, config)
				var timeout net.Error
				if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: not refused (%v)", name, err)
				} else if !strings.Contains(err.Error(), "remote error: tls: ") {
					t.Errorf("%s: refused without saying why: %v", name, err)
				}
			}
		})
	}
}

// checkPlaintext tries the port without TLS, by gRPC and by HTTP.
func checkPlaintext(t *testing.T, addr string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(deadline(t, 5*time.Second), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("plaintext gRPC: %v, want Unavailable", err)
	}
	req, err := http.NewRequestWithContext(deadline(t, 5*time.Second), http.MethodGet, "http://"+addr+"/v1/projects", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest { // net/http says so in plaintext before it hangs up.
		t.Errorf("plain HTTP: status %d, want 400 or nothing", resp.StatusCode)
	}
}

// The product's own client refuses a server that is another than it asked for.
func TestClientRefusesAnotherServer(t *testing.T) {
	other := authority(t)
	foreign := filepath.Join(t.TempDir(), "other-ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.cert.Raw})
	if err := os.WriteFile(foreign, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]mtls.ClientFiles{
		"wrong name":        {ServerName: "dicom-rpc", CaFile: certs + "/ca.crt"},
		"address as name":   {ServerName: "127.0.0.1", CaFile: certs + "/ca.crt"},
		"another authority": {ServerName: "vitals-rpc", CaFile: foreign},
	} {
		files.CertFile, files.KeyFile = certs+"/project-api.crt", certs+"/project-api.key"
		client, err := mtls.NewClient(files)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient("passthrough:///127.0.0.1:9101", grpc.WithTransportCredentials(client.Credentials()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = healthpb.NewHealthClient(conn).Check(deadline(t, 5*time.Second), &healthpb.HealthCheckRequest{})
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "handshake") {
			t.Errorf("%s: %v", name, err)
		}
		_ = conn.Close()
	}
}

// callers calls one method of each gRPC service.
var callers = map[string]struct {
	process string
	call    func(context.Context, *grpc.ClientConn) error
}{
	"vitals.VitalsService": {"vitals-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := vitalspb.NewVitalsServiceClient(c).ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: "nobody-here"})
		return err
	}},
	"dicom.DicomService": {"dicom-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		stream, err := dicompb.NewDicomServiceClient(c).DownloadDicom(ctx, &dicompb.DownloadDicomRequest{ImageId: "nothing-here"})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}},
	"epro.EproService": {"epro-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := epropb.NewEproServiceClient(c).GetPatientReports(ctx, &epropb.GetPatientReportsRequest{PatientId: "nobody-here"})
		return err
	}},
	"subject.SubjectService": {"subject-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := subjectpb.NewSubjectServiceClient(c).GetSubject(ctx, &subjectpb.GetSubjectRequest{ProjectId: "p", PatientId: "nobody-here"})
		return err
	}},
	"subject.SubjectResolver": {"subject-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := subjectpb.NewSubjectResolverClient(c).ResolveSubject(ctx, &subjectpb.ResolveSubjectRequest{PatientId: "nobody-here"})
		return err
	}},
	"medication.MedicationService": {"subject-rpc", func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := medicationpb.NewMedicationServiceClient(c).ListMedications(ctx, &medicationpb.ListMedicationsRequest{ProjectId: "p"})
		return err
	}},
}

// mayCall are the peers that each service admits, as the issue and DESIGN 7 say.
var mayCall = map[string][]string{
	"vitals.VitalsService": {"project-api", "partner"}, "dicom.DicomService": {"project-api", "partner"}, "epro.EproService": {"project-api", "partner"},
	"subject.SubjectService": {"project-api"}, "medication.MedicationService": {"project-api"},
	"subject.SubjectResolver": {"vitals-rpc", "dicom-rpc", "epro-rpc"},
}

// Who may call which service is decided by the certificate, then by the token.
// Shows R27.
func TestPeersAndTokens(t *testing.T) {
	ca := developmentCA(t)
	stranger := issue(t, &ca, "stranger", nil)
	authority := x509.NewCertPool()
	authority.AddCert(ca.cert)
	for service, c := range callers {
		for _, peer := range []string{"project-api", "partner", "suite", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc", "etcd"} {
			err := c.call(deadline(t, 5*time.Second), dial(t, c.process, addressOf[c.process], peer))
			want := "TOKEN_MISSING"
			switch {
			case !slices.Contains(mayCall[service], peer):
				want = "PEER_NOT_ALLOWED"
			case service == "subject.SubjectResolver": // No token: the peer list alone decides.
				want = "SUBJECT_NOT_FOUND"
			}
			if got := reasonOf(err); got != want {
				t.Errorf("%s calls %s: %s (%v), want %s", peer, service, got, err, want)
			}
			for _, authorization := range []string{"Bearer x", "Basic eDp5", "x"} {
				ctx := metadata.AppendToOutgoingContext(deadline(t, 5*time.Second), "authorization", authorization)
				if want == "TOKEN_MISSING" && reasonOf(c.call(ctx, dial(t, c.process, addressOf[c.process], peer))) != "TOKEN_INVALID" {
					t.Errorf("%s calls %s with the authorization %q, and is not refused for it", peer, service, authorization)
				}
			}
		}
		conn, err := grpc.NewClient("passthrough:///"+addressOf[c.process], grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: authority, ServerName: c.process, Certificates: stranger.pair(),
		})))
		if err != nil {
			t.Fatal(err)
		}
		if got := reasonOf(c.call(deadline(t, 5*time.Second), conn)); got != "PEER_NOT_ALLOWED" {
			t.Errorf("a stranger with our authority's certificate calls %s: %s", service, got)
		}
		_, err = healthpb.NewHealthClient(conn).Check(deadline(t, 5*time.Second), &healthpb.HealthCheckRequest{})
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("a stranger asks %s for its health: %v", c.process, err)
		}
		_ = conn.Close()
	}
}

// reasonOf gives the stable reason of a refusal, or its code if it has none.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}

// A partner with a certificate and a token reads what the token grants.
func TestPartnerReadsByCertificateAndToken(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	w.admin.post(t, path+"/vitals", heartRate()).want(t, 201)
	ctx := authorized(deadline(t, 10*time.Second), token(t, "--role", "partner", "--project", w.project))
	vitals, err := vitalspb.NewVitalsServiceClient(dial(t, "vitals-rpc", addressOf["vitals-rpc"], "partner")).
		ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: patient})
	if err != nil || len(vitals.GetRecords()) != 1 {
		t.Errorf("vitals: %v, %v", vitals, err)
	}
	images, err := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", addressOf["dicom-rpc"], "partner")).
		ListImages(ctx, &dicompb.ListImagesRequest{PatientId: patient})
	if err != nil || len(images.GetImages()) != 0 {
		t.Errorf("images: %v, %v", images, err)
	}
	reports, err := epropb.NewEproServiceClient(dial(t, "epro-rpc", addressOf["epro-rpc"], "partner")).
		GetPatientReports(ctx, &epropb.GetPatientReportsRequest{PatientId: patient})
	if err != nil || len(reports.GetReports()) != 0 {
		t.Errorf("reports: %v, %v", reports, err)
	}
}

// processes have one config each, etc/NAME.yaml.
var processes = []string{"vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc", "project-api"}

// checkConfig runs a process with -t on a text, and gives what it said.
func checkConfig(t *testing.T, process, text string) (stderr string, accepted bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), process+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(deadline(t, 20*time.Second), "bin/"+process, "-f", file, "-t")
	c.Env = append(os.Environ(), "CLINSOURCE_DATA="+t.TempDir())
	var out strings.Builder
	c.Stderr = &out
	err := c.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return out.String(), err == nil
}

func shipped(t *testing.T, process string) string {
	t.Helper()
	data, err := os.ReadFile("etc/" + process + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The article's two TLS blocks, character for character.
const (
	articleServerTLS = `RpcServerConf:
  Tls:
    CertFile: "./etc/server.crt" # 证书文件路径
    KeyFile:  "./etc/server.key"  # 私钥文件路径
    # 如果需要客户端也提供证书进行双向认证
    # ClientCaFile: "./etc/client-ca.pem" 
`
	articleClientTLS = `  Tls:
    ServerName: "your.server.com" # 证书中绑定的域名，如果是自签名，可以和服务端保持一致
    CertFile: "./etc/server.crt"   # 信任服务端的证书
`
)

var (
	serverTLS = regexp.MustCompile(`(?m)^Tls:\n(  .*\n)+`)
	clientTLS = regexp.MustCompile(`(?m)(^VitalsRpc:\n  Etcd:\n(?:    .*\n)+)(  Tls:\n(?:    .*\n)+)`)
)

// The article's TLS block does not start a process, and what is printed in
// answer does when it is pasted in its place.
func TestArticleTLSIsAnsweredByTheBlockThatWorks(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		whole := shipped(t, "vitals-rpc")
		pasted := serverTLS.ReplaceAllLiteralString(whole, articleServerTLS)
		block := corrected(t, "vitals-rpc", pasted, whole)
		if stderr, ok := checkConfig(t, "vitals-rpc", strings.Replace(pasted, articleServerTLS, block, 1)); !ok {
			t.Errorf("the block that was printed is refused:\n%s\n%s", block, stderr)
		}
	})
	t.Run("client", func(t *testing.T) {
		whole := shipped(t, "project-api")
		pasted := clientTLS.ReplaceAllString(whole, "${1}"+articleClientTLS)
		block := corrected(t, "project-api", pasted, whole)
		_, inner, found := strings.Cut(block, "\n") // The first line is the VitalsRpc: that is there.
		if stderr, ok := checkConfig(t, "project-api", strings.Replace(pasted, articleClientTLS, inner, 1)); !found || !ok {
			t.Errorf("the block that was printed is refused:\n%s\n%s", block, stderr)
		}
	})
	t.Run("left out", func(t *testing.T) {
		whole := shipped(t, "vitals-rpc")
		block := corrected(t, "vitals-rpc", serverTLS.ReplaceAllLiteralString(whole, ""), whole)
		if stderr, ok := checkConfig(t, "vitals-rpc", serverTLS.ReplaceAllLiteralString(whole, block)); !ok {
			t.Errorf("the block that was printed is refused:\n%s\n%s", block, stderr)
		}
	})
}

// corrected gives the block that a process prints in answer to a config.
func corrected(t *testing.T, process, text, whole string) string {
	t.Helper()
	if text == whole {
		t.Fatal("nothing was replaced")
	}
	stderr, accepted := checkConfig(t, process, text)
	if accepted {
		t.Fatal("it is accepted")
	}
	_, block, found := strings.Cut(stderr, "in place of what is there:\n\n")
	if !found || strings.Contains(block, "your.server.com") {
		t.Fatalf("no corrected block in\n%s", stderr)
	}
	block, _, _ = strings.Cut(block, "\n\n")
	return strings.TrimRight(block, "\n") + "\n"
}

// Every shipped config is accepted; with any one key misspelt it is refused with
// the right key named; with one left out it is refused with that one named,
// unless it is one of the few that have a default.
func TestShippedConfigsHoldEveryKey(t *testing.T) {
	for _, process := range processes {
		t.Run(process, func(t *testing.T) {
			t.Parallel() // go test runs as many at once as there are cores.
			whole := shipped(t, process)
			if stderr, ok := checkConfig(t, process, whole); !ok {
				t.Fatalf("as shipped: %s", stderr)
			}
			keys := keysOf(t, whole)
			for i, k := range keys {
				checkMisspelt(t, process, whole, k, i)
				checkRemoved(t, process, whole, k)
				checkLostFile(t, process, whole, k)
			}
			t.Logf("%d keys", len(keys))
		})
	}
}

// key is one key of a YAML text.
type key struct {
	name, path   string // path with dots, from the top
	line, column int    // from 1
	last         int    // the last line of its value
}

// keysOf lists the keys of block mappings, in order.
func keysOf(t *testing.T, text string) (keys []key) {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var walk func(n *yaml.Node, path string) int
	walk = func(n *yaml.Node, path string) int {
		last := n.Line
		for i := 0; i < len(n.Content); i++ {
			if n.Kind != yaml.MappingNode {
				last = max(last, walk(n.Content[i], path))
				continue
			}
			name, here := n.Content[i], len(keys)
			below := strings.TrimPrefix(path+"."+name.Value, ".")
			keys = append(keys, key{name: name.Value, path: below, line: name.Line, column: name.Column})
			i++
			keys[here].last = walk(n.Content[i], below)
			last = max(last, keys[here].last)
		}
		return last
	}
	walk(document.Content[0], "")
	return keys
}

// misspell drops a letter in the middle of a key, or exchanges two, by turns.
func misspell(name string, turn int) string {
	i := len(name) / 2
	if turn%2 == 0 && len(name) > 3 && name[i-1] != name[i] {
		return name[:i-1] + name[i:i+1] + name[i-1:i] + name[i+1:]
	}
	return name[:i] + name[i+1:]
}

func checkMisspelt(t *testing.T, process, whole string, k key, turn int) {
	t.Helper()
	wrong := misspell(k.name, turn)
	lines := strings.SplitAfter(whole, "\n")
	line := lines[k.line-1]
	lines[k.line-1] = line[:k.column-1] + wrong + line[k.column-1+len(k.name):]
	stderr, accepted := checkConfig(t, process, strings.Join(lines, ""))
	switch {
	case accepted:
		t.Errorf("%s written %s is accepted", k.path, wrong)
	case !strings.Contains(stderr, wrong):
		t.Errorf("%s written %s: the key is not named in\n%s", k.path, wrong, stderr)
	case !strings.Contains(stderr, "did you mean "+k.name+"?"):
		t.Errorf("%s written %s: the right key is not named in\n%s", k.path, wrong, stderr)
	}
}

// optional are the keys that may be left out: they have defaults, or stand in
// a block that has.
var optional = regexp.MustCompile(`^(Log|DevServer|Subjects)(\.|$)|^(Timeout|AlsoKeys|Host|MaxUploads|MaxOpenUploads|UploadExpiry|ProjectQuota|Tokens\.JwksFile|Audit\.Every)$`)

func checkRemoved(t *testing.T, process, whole string, k key) {
	t.Helper()
	lines := strings.SplitAfter(whole, "\n")
	if before, _, first := strings.Cut(lines[k.line-1], "- "); first && strings.TrimSpace(before) == "" { // Of a list's entry: the next key begins it.
		lines[k.last] = before + "- " + strings.TrimLeft(lines[k.last], " ")
	}
	text := strings.Join(slices.Delete(lines, k.line-1, k.last), "")
	stderr, accepted := checkConfig(t, process, text)
	switch {
	case accepted && !optional.MatchString(k.path):
		t.Errorf("without %s it is accepted", k.path)
	case !accepted && optional.MatchString(k.path):
		t.Errorf("without %s it is refused: %s", k.path, stderr)
	case !accepted && !strings.Contains(strings.ToLower(stderr), strings.ToLower(k.name)):
		t.Errorf("without %s: the key is not named in\n%s", k.path, stderr)
	}
}

// checkLostFile points a key that names a file to one that is not there: each
// process reads all of its files before it says that it could start.
func checkLostFile(t *testing.T, process, whole string, k key) {
	t.Helper()
	if !strings.HasSuffix(k.name, "File") || k.name == "DataFile" {
		return
	}
	const lost = "certs/dev/lost.pem"
	lines := strings.SplitAfter(whole, "\n")
	lines[k.line-1] = lines[k.line-1][:k.column-1] + k.name + ": " + lost + "\n"
	if stderr, accepted := checkConfig(t, process, strings.Join(lines, "")); accepted || !strings.Contains(stderr, lost) {
		t.Errorf("with %s naming a file that is not there: accepted %t, %s", k.path, accepted, stderr)
	}
}

// The configs that containers are started with are accepted too, by the binaries
// and under the certificates of this machine.
func TestShippedConfigsOfContainers(t *testing.T) {
	for _, folder := range []string{"deploy/etc", "deploy/etc-small"} {
		for _, process := range processes {
			text, err := os.ReadFile(filepath.Join(folder, process+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			here := strings.ReplaceAll(string(text), "/run/secrets/", certs+"/")
			if here == string(text) {
				t.Errorf("%s/%s.yaml reads no secret: is it a container's?", folder, process)
			}
			here = strings.ReplaceAll(here, "/etc/clinsource/", folder+"/") // Where the folder is mounted.
			if stderr, ok := checkConfig(t, process, here); !ok {
				t.Errorf("%s/%s.yaml: %s", folder, process, stderr)
			}
		}
	}
}

// -t checks every word of the policy too.
func TestAPolicyWithAMistakeStopsTheStart(t *testing.T) {
	policy, err := os.ReadFile("etc/policy.cedar")
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "policy.cedar")
	if err := os.WriteFile(broken, bytes.Replace(policy, []byte(`Role::"monitor", action`), []byte(`Role::"monitr", action`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		text, err := os.ReadFile("etc/" + process + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		stderr, ok := checkConfig(t, process, strings.Replace(string(text), "etc/policy.cedar", broken, 1))
		if ok || !strings.Contains(stderr, `unknown role "monitr"; did you mean monitor?`) || !strings.Contains(stderr, broken+":") {
			t.Errorf("%s -t: accepted %t: %s", process, ok, stderr)
		}
	}
}

// -t only checks, and says what is wrong with the command line itself.
func TestCheckOnlyCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"-f"}, {"-t"}, {"-f", "etc/nothing.yaml", "-t"}, {"-x"}, {"-f", "etc/vitals-rpc.yaml", "-t", "more"}} {
		c := exec.CommandContext(deadline(t, 20*time.Second), "bin/vitals-rpc", args...)
		c.Env = append(os.Environ(), "CLINSOURCE_DATA="+t.TempDir())
		out, err := c.CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "vitals-rpc: ") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	c := exec.CommandContext(deadline(t, 20*time.Second), "bin/vitals-rpc", "-f", "etc/vitals-rpc.yaml", "-t")
	c.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CLINSOURCE_DATA=") })
	if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "CLINSOURCE_DATA is not set") {
		t.Errorf("without the environment variable: %v, %s", err, out)
	}
}
