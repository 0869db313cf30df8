package logic_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/resume"
	"clinsource/dicom-rpc/internal/server"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
)

const (
	chunkBytes = 256 << 10
	maxUploads = 16
)

var limits = resume.Limits{Bounds: store.Bounds{Open: 256, Quota: 20 << 30}, Expiry: time.Hour, Keep: 24 * time.Hour}

var withdrawal = time.Date(2026, 3, 10, 9, 30, 0, 0, time.UTC)

// fixture is dicom-rpc's service on a real database and real files, called over
// a real connection; only TLS and tokens are left out.
type fixture struct {
	client   dicompb.DicomServiceClient
	dir      string
	db       *sqldb.DB
	images   *blob.Store
	svc      *svc.ServiceContext
	registry *registry
}

// registry is the resolver of the tests: subjects s-01 and s-02 at site a, s-09
// at site b, gone withdrawn; x-01 is of another project.
type registry struct {
	mu      sync.Mutex
	known   map[string]subjects.Place
	panics  bool
	fails   error
	waiting chan struct{} // Not nil: whoever asks waits until it is closed.
	waits   bool          // Somebody does.
}

func (r *registry) Resolve(ctx context.Context, patient string) (subjects.Place, error) {
	r.mu.Lock()
	waiting := r.waiting
	r.waits = waiting != nil
	r.mu.Unlock()
	if waiting != nil {
		select {
		case <-waiting:
		case <-ctx.Done():
			return subjects.Place{}, ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panics {
		panic("as told")
	}
	if r.fails != nil {
		return subjects.Place{}, r.fails
	}
	if p, ok := r.known[patient]; ok {
		return p, nil
	}
	return subjects.Place{}, subjects.Unseen()
}

// hold lets whoever asks wait until letGo.
func (r *registry) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = make(chan struct{})
}

func (r *registry) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.waiting)
	r.waiting = nil
}

func (r *registry) asked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waits
}

// fail answers every question with err, or no longer.
func (r *registry) fail(on bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails = nil; on {
		r.fails = err
	}
}

func (r *registry) set(patient string, p subjects.Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[patient] = p
}

var users = map[string]*auth.User{
	"":            {Subject: "inv", Grants: []auth.Grant{{Role: auth.Investigator, Project: "p"}}},
	"coordinator": {Subject: "coo", Grants: []auth.Grant{{Role: auth.Coordinator, Project: "p", Sites: []string{"a"}}}},
	"device":      {Subject: "dev", Grants: []auth.Grant{{Role: auth.Device, Project: "p"}}},
	"monitor":     {Subject: "mon", Grants: []auth.Grant{{Role: auth.Monitor, Project: "p"}}},
	"stranger":    {Subject: "str", Grants: []auth.Grant{{Role: auth.Investigator, Project: "q"}}},
	"nobody":      {Subject: "nob"},
}

const userKey = "test-user"

// as makes the call of another user.
func as(ctx context.Context, user string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, userKey, user)
}

// called is what internal/rpcserver does around a call: the user into the
// context, faults out of it, panics included.
func called(ctx context.Context, handle func(context.Context) error) (err error) {
	name := ""
	if v := metadata.ValueFromIncomingContext(ctx, userKey); len(v) > 0 {
		name = v[0]
	}
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internal(errors.New("panic"))
		}
		if err != nil {
			err = fault.From(err).GRPCStatus().Err()
		}
	}()
	return handle(auth.WithUser(ctx, users[name]))
}

type userStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s userStream) Context() context.Context { return s.ctx }

func open(t testing.TB) *fixture {
	t.Helper()
	return openAt(t, t.TempDir(), newRegistry(), limits)
}

func newRegistry() *registry {
	return &registry{known: map[string]subjects.Place{
		"s-01": {Project: "p", Site: "a"}, "s-02": {Project: "p", Site: "a"}, "s-09": {Project: "p", Site: "b"},
		"gone": {Project: "p", Site: "a", Withdrawn: withdrawal}, "x-01": {Project: "q", Site: "a"},
	}}
}

// beside is another process on the same database and the same files.
func (f *fixture) beside(t testing.TB) *fixture {
	t.Helper()
	return openAt(t, filepath.Dir(f.dir), f.registry, limits)
}

func openAt(t testing.TB, dir string, registry *registry, limits resume.Limits) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(dir, "images.db")}, records.WithSchema(store.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	images, err := blob.Open(filepath.Join(dir, "images"), maxUploads)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{dir: filepath.Join(dir, "images"), db: db, images: images, registry: registry}
	f.svc = svc.New(db, images, registry, limits)
	f.serve(t, f.svc)
	return f
}

// serve starts the server; what is closed first must be used last.
func (f *fixture) serve(t testing.TB, svcCtx *svc.ServiceContext) {
	t.Helper()
	s := newServer(svcCtx)
	conn := dial(t, s)
	f.client = dicompb.NewDicomServiceClient(conn)
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), stopped(s), f.images.Close(), f.db.Close()); err != nil {
			t.Error(err)
		}
	})
}

func newServer(svcCtx *svc.ServiceContext) *grpc.Server {
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(2<<20),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
			err = called(ctx, func(ctx context.Context) error { resp, err = handler(ctx, req); return err })
			return resp, err
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return called(ss.Context(), func(ctx context.Context) error { return handler(srv, userStream{ss, ctx}) })
		}),
	)
	dicompb.RegisterDicomServiceServer(s, server.NewDicomServiceServer(svcCtx))
	return s
}

func stopped(s *grpc.Server) error {
	s.GracefulStop() // Waits for the handlers: what they left can be looked at.
	return nil
}

func dial(t testing.TB, s *grpc.Server) *grpc.ClientConn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func infoMessage(info *dicompb.FileInfo) *dicompb.UploadDicomRequest {
	return &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}}
}

func chunkMessage(chunk []byte) *dicompb.UploadDicomRequest {
	return &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: chunk}}
}

// uploadFrom sends info and then all of r; the error is the call's true status.
func (f *fixture) uploadFrom(ctx context.Context, info *dicompb.FileInfo, r io.Reader) (*dicompb.UploadDicomResponse, error) {
	stream, err := f.client.UploadDicom(ctx)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, chunkBytes)
	for err = stream.Send(infoMessage(info)); err == nil; {
		var n int
		n, err = io.ReadFull(r, buf)
		if n > 0 {
			if sent := stream.Send(chunkMessage(buf[:n])); sent != nil {
				err = sent
			}
		}
	}
	return stream.CloseAndRecv()
}

func (f *fixture) upload(ctx context.Context, info *dicompb.FileInfo, file []byte) (*dicompb.UploadDicomResponse, error) {
	return f.uploadFrom(ctx, info, bytes.NewReader(file))
}

// send uploads what must be taken.
func (f *fixture) send(t testing.TB, info *dicompb.FileInfo, file []byte) *dicompb.UploadDicomResponse {
	t.Helper()
	resp, err := f.upload(within(t), info, file)
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	return resp
}

func (f *fixture) download(ctx context.Context, in *dicompb.DownloadDicomRequest) (*dicompb.Image, []byte, error) {
	stream, err := f.client.DownloadDicom(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	var image *dicompb.Image
	var file []byte
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return image, file, nil
		}
		if err != nil {
			return image, file, err
		}
		if msg.GetImage() != nil {
			image = msg.GetImage()
		}
		file = append(file, msg.GetChunk()...)
	}
}

// exec changes rows behind the service's back.
func (f *fixture) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	ctx := within(t)
	err := f.db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, statement, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) rows(t testing.TB, table string) int {
	t.Helper()
	var n int
	if err := f.db.QueryRow(within(t), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// files lists the files of uploads under way and of images.
func (f *fixture) files(t testing.TB) (incoming, images []string) {
	t.Helper()
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() || d.Name() == "lock":
		case filepath.Base(filepath.Dir(path)) == "incoming":
			incoming = append(incoming, path)
		default:
			images = append(images, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return incoming, images
}

// wantImages checks that there are n images, as rows and as files, and nothing
// of any other upload. A server may still be tidying up behind its answer.
func (f *fixture) wantImages(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	incoming, images := f.files(t)
	for (len(incoming) > 0 || len(images) != n) && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
		incoming, images = f.files(t)
	}
	if len(incoming) != 0 || len(images) != n {
		t.Errorf("%d files under incoming and %d images, want 0 and %d", len(incoming), len(images), n)
	}
	if got := f.rows(t, "records"); got != n {
		t.Errorf("%d records, want %d", got, n)
	}
	if got := f.rows(t, "image_instances"); got != n {
		t.Errorf("%d instances, want %d", got, n)
	}
	if n == 0 && f.rows(t, "record_ids") != 0 {
		t.Error("a refused upload left an id")
	}
}

// synthetic makes an image of some 2 KiB for a patient's study of a day.
func synthetic(t testing.TB, spec dicomfile.SyntheticSpec) []byte {
	t.Helper()
	if spec.Rows == 0 {
		spec.Rows, spec.Columns = 32, 32
	}
	var b bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&b, spec); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sumOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// wantFault checks a refusal's code and, if given, the rule of its violation.
func wantFault(t testing.TB, err error, code codes.Code, rule string) *fault.Error {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code != code {
		t.Errorf("the answer is %v, want %v %s", err, code, rule)
		return &fault.Error{}
	}
	if rule != "" && (len(f.Violations) == 0 || f.Violations[0].Rule != rule) {
		t.Errorf("the violations are %v, want %s", f.Violations, rule)
	}
	return f
}

func imagePath(f *fixture, id string) string {
	return filepath.Join(f.dir, id[len(id)-2:], id)
}

func corrupt(t testing.TB, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	last := make([]byte, 1)
	_, rerr := file.ReadAt(last, info.Size()-1)
	last[0] ^= 1
	_, werr := file.WriteAt(last, info.Size()-1)
	if err := errors.Join(rerr, werr, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	serveIfAsked()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // go-zero's own.
}
