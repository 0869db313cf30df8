package faults

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"clinsource/internal/auth"
	"clinsource/internal/auth/issuertest"
	"clinsource/internal/fault"
	"clinsource/internal/mtls"
	vitalspb "clinsource/proto/vitals"
)

const (
	issuerURL      = "https://127.0.0.1:8500"
	issuerAudience = "trial"
)

// identity is a running suite that takes the tokens of an OIDC issuer, a process
// of its own, beside the development issuer's.
type identity struct {
	*suite
	client *client
	rpc    vitalspb.VitalsServiceClient
	issuer *exec.Cmd
}

func startIdentity(t *testing.T) *identity {
	t.Helper()
	s := prepare(t, "", func(_, config string) string {
		return strings.Replace(config, "\nTokens:\n", "\nTokens:\n  - Issuer: "+issuerURL+"\n    Audience: "+issuerAudience+"\n    CaFile: certs/dev/ca.crt\n", 1)
	})
	s.start(t, "")
	i := &identity{suite: s, client: newClient(t, s, 1)}
	i.rpc = vitalspb.NewVitalsServiceClient(i.partner(t))
	return i
}

// partner connects to vitals-rpc as a partner institution does.
func (i *identity) partner(t *testing.T) *grpc.ClientConn {
	t.Helper()
	certs := filepath.Join(i.dir, "certs", "dev")
	files, err := mtls.NewClient(mtls.ClientFiles{ServerName: "vitals-rpc", CaFile: certs + "/ca.crt", CertFile: certs + "/partner.crt", KeyFile: certs + "/partner.key"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("127.0.0.1:9101", grpc.WithTransportCredentials(files.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startIssuer runs it until the test ends or endIssuer.
func (i *identity) startIssuer(t *testing.T) {
	t.Helper()
	program := filepath.Join(i.dir, "issuer")
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./test/issuer")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	certs := filepath.Join(i.dir, "certs", "dev")
	i.issuer = exec.Command(program, "--listen", strings.TrimPrefix(issuerURL, "https://"), "--cert", certs+"/postgres.crt", "--key", certs+"/postgres.key")
	i.issuer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	i.issuer.Stderr = os.Stderr
	if err := i.issuer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.endIssuer)
	i.eventually(t, "the issuer answers", func() bool {
		resp, err := i.client.http.Get(issuerURL + "/keys")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

func (i *identity) endIssuer() {
	if i.issuer != nil {
		_ = i.issuer.Process.Kill()
		_ = i.issuer.Wait()
		i.issuer = nil
	}
}

func (i *identity) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// ask posts to the issuer.
func (i *identity) ask(t *testing.T, path string, body any) string {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.client.http.Post(issuerURL+path, "application/json", strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the issuer answers %s to %s (%v)", resp.Status, path, err)
	}
	return string(text)
}

// claims of a good token of the issuer, changed; nil takes one away.
func claims(changes object) object {
	c := object{"iss": issuerURL, "aud": issuerAudience, "sub": "nurse-7", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// over sends the token both ways and gives the two answers' reasons. A token that
// verifies is answered NO_GRANT or, over gRPC, with whatever is not about tokens:
// nobody has granted its subject anything.
func (i *identity) over(t *testing.T, token string) (http, grpc string) {
	t.Helper()
	c := &client{gateways: i.client.gateways, token: token, http: i.client.http}
	status, header, body, err := c.once(c.gateways[0], "GET", "/v1/projects/nobodys", nil)
	var problem struct{ Reason string }
	if err != nil || json.Unmarshal(body, &problem) != nil {
		t.Fatalf("over HTTP: %d %v %s", status, err, body)
	}
	if status == 503 && header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), 5*time.Second)
	defer cancel()
	_, err = i.rpc.ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: "nobody"})
	f := fault.From(err)
	if f == nil {
		t.Fatal("a list of a patient whom nobody granted")
	}
	if f.Code == codes.Unavailable && f.RetryAfter <= 0 {
		t.Error("Unavailable without RetryInfo")
	}
	return problem.Reason, f.Reason
}

func (i *identity) want(t *testing.T, what, token, reason string) {
	t.Helper()
	overHTTP, overGRPC := i.over(t, token)
	if overHTTP != reason {
		t.Errorf("%s: over HTTP %s, want %s", what, overHTTP, reason)
	}
	if aboutTokens := strings.HasPrefix(overGRPC, "TOKEN_") || overGRPC == "ISSUER_AWAY"; overGRPC != reason && (aboutTokens || reason != "NO_GRANT") {
		t.Errorf("%s: over gRPC %s, want %s", what, overGRPC, reason)
	}
}

// An issuer comes late, rotates its keys, and goes away.
//
// Shows R01.
func TestIssuerAwayRotatedAndAwayAgain(t *testing.T) {
	i := startIdentity(t)
	stranger, err := issuertest.New(issuerURL, jose.RS256)
	if err != nil {
		t.Fatal(err)
	}
	unheard, err := stranger.Sign(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	i.want(t, "the issuer is not there yet", unheard, "ISSUER_AWAY")
	i.want(t, "the other issuer works", i.client.token, "NO_GRANT")
	i.startIssuer(t)
	first := i.ask(t, "/sign", claims(nil))
	i.eventually(t, "the issuer is heard", func() bool { a, b := i.over(t, first); return a == "NO_GRANT" && b != "ISSUER_AWAY" })
	i.want(t, "another key under its kid", unheard, "TOKEN_INVALID")
	time.Sleep(5 * time.Second) // An issuer is asked no more often.
	i.ask(t, "/rotate", nil)
	second := i.ask(t, "/sign", claims(nil))
	i.want(t, "signed with the new key", second, "NO_GRANT")
	i.want(t, "signed with the old one, still listed", first, "NO_GRANT")
	t.Run("tokens", i.table)
	i.endIssuer()
	time.Sleep(6 * time.Second) // Nothing of it is remembered but the keys.
	i.want(t, "the issuer is away, its keys are known", second, "NO_GRANT")
}

// table is every kind of bad token, over HTTP and gRPC, of both kinds of issuer.
func (i *identity) table(t *testing.T) {
	dev := func(ttl time.Duration) string {
		token, err := auth.Issue(filepath.Join(i.dir, "certs", "dev", "issuer.key"), "tester", nil, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	sign := func(changes object) string { return i.ask(t, "/sign", claims(changes)) }
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	bad := map[string]string{
		"discovered: expired": sign(object{"exp": in(-time.Second)}), "discovered: no exp": sign(object{"exp": nil}),
		"discovered: expired a minute ago": sign(object{"exp": in(-time.Minute)}), "discovered: nbf in a minute": sign(object{"nbf": in(time.Minute)}),
		"discovered: another audience": sign(object{"aud": auth.DevAudience}), "discovered: another issuer": sign(object{"iss": issuerURL + "/"}),
		"discovered: the other issuer's name": sign(object{"iss": auth.DevIssuer, "aud": auth.DevAudience}), "discovered: no sub": sign(object{"sub": nil}),
		"discovered: huge": sign(object{"x": strings.Repeat("x", 9<<10)}), "development: expired": dev(-time.Second),
	}
	keys := i.keysAsSecret(t)
	for name, good := range map[string]string{"discovered": sign(nil), "development": dev(time.Hour)} {
		i.want(t, name+": as it should be", good, "NO_GRANT")
		parts := strings.Split(good, ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(payload), `"sub":"`, `"sub":"x`, 1)
		var c object
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatal(err)
		}
		bad[name+": alg none"] = encode(`{"alg":"none"}`) + "." + parts[1] + "."
		bad[name+": alg none, signature kept"] = encode(`{"alg":"none","kid":"key-1"}`) + "." + parts[1] + "." + parts[2]
		bad[name+": stripped"] = parts[0] + "." + parts[1] + "."
		bad[name+": two parts"] = parts[0] + "." + parts[1]
		bad[name+": changed payload"] = parts[0] + "." + encode(changed) + "." + parts[2]
		bad[name+": no kid"] = encode(`{"alg":"RS256"}`) + "." + parts[1] + "." + parts[2]
		bad[name+": unknown kid"] = encode(`{"alg":"RS256","kid":"other"}`) + "." + parts[1] + "." + parts[2]
		bad[name+": HS256 with the public key"] = hs256(t, keys[name], c)
	}
	for name, token := range bad {
		i.want(t, name, token, "TOKEN_INVALID")
	}
}

// keysAsSecret gives the issuers' public keys as they are published.
func (i *identity) keysAsSecret(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(i.dir, "certs", "dev", "issuer.jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.client.http.Get(issuerURL + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	served, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"discovered": string(served), "development": string(file)}
}

func hs256(t *testing.T, secret string, claims object) string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(secret), &set); err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: key, KeyID: set.Keys[0].KeyID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
