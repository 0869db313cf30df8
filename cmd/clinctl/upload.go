package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"clinsource/internal/ident"
)

// uploading is one run of the command.
type uploading struct {
	g                *gateway
	project, patient string
	patience         time.Duration
	show             *progress

	mu       sync.Mutex
	contents map[string]*content
}

// content is what became of the files with one digest: of equal files one is
// sent, and the others wait for it.
type content struct {
	sync.Mutex
	image *image
}

// uploaded is what became of one file.
type uploaded struct {
	found
	image   image
	resumed int64 // Bytes that were there when this run began.
	sent    int64
	err     error
}

// image is what the gateway tells of a stored image.
type image struct {
	ImageID  string
	Sha256   string
	Created  bool
	Findings []string // Their rules.
}

// runUpload sends files, several at once. One that fails never stops the rest;
// the exit status tells whether all came through.
func runUpload(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("upload", flag.ContinueOnError)
	connect := gatewayFlags(flags)
	project := flags.String("project", "", "the project (required)")
	patient := flags.String("patient", "", "the subject's pseudonymous code (required)")
	parallel := flags.Int("parallel", 4, "files at once, 1 to 64")
	patience := flags.Duration("patience", 2*time.Minute, "how long to go on trying with a file that makes no progress")
	asJSON := flags.Bool("json", false, "on standard output one JSON object per file as it ends, then a summary")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: clinctl upload --project P --patient ID [flags] FILE|FOLDER...")
		fmt.Fprintln(flags.Output(), "Run again after a break, it goes on where it was. Of folders, only DICOM Part 10 files are sent.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case !ident.Valid(*project) || !ident.Valid(*patient):
		return errors.New("--project and --patient are required identifiers")
	case flags.NArg() == 0:
		return errors.New("no file is named")
	case *parallel < 1 || *parallel > 64:
		return errors.New("--parallel must be from 1 to 64")
	case *patience <= 0:
		return errors.New("--patience must be positive")
	}
	g, err := connect()
	if err != nil {
		return err
	}
	begun := time.Now()
	files := findFiles(flags.Args())
	u := &uploading{g: g, project: *project, patient: *patient, patience: *patience, contents: map[string]*content{}, show: showProgress(files)}
	out := reportTo(os.Stdout, os.Stderr, *asJSON)
	results := u.all(ctx, files, *parallel, out.each)
	u.show.end()
	return out.end(results, time.Since(begun))
}

// all sends the files, at most parallel at once, and gives the results in the
// order of the files; each hears of one as it ends.
func (u *uploading) all(ctx context.Context, files []found, parallel int, each func(uploaded)) []uploaded {
	results := make([]uploaded, len(files))
	next := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex
	for range min(parallel, len(files)) {
		workers.Go(func() {
			for i := range next {
				results[i] = u.one(ctx, files[i])
				u.show.done(files[i])
				mu.Lock()
				each(results[i])
				mu.Unlock()
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

var errInterrupted = errors.New("interrupted; run the same again to go on")

// one sends a file, or finds that it need not be sent.
func (u *uploading) one(ctx context.Context, f found) uploaded {
	out := uploaded{found: f, err: f.err}
	if f.err != nil || f.skip {
		return out
	}
	out.err = u.upload(ctx, &out)
	if ctx.Err() != nil && out.err != nil {
		out.err = errInterrupted
	}
	return out
}

func (u *uploading) upload(ctx context.Context, out *uploaded) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	file, err := os.Open(out.path)
	if err != nil {
		return plainly(err)
	}
	defer file.Close()
	digest, err := digestOf(ctx, file, out.size)
	if err != nil {
		return err
	}
	same := u.content(digest)
	same.Lock()
	defer same.Unlock()
	if same.image != nil {
		out.image = *same.image
		out.image.Created = false
		return nil
	}
	s := &sending{g: u.g, body: file, size: out.size, patience: u.patience,
		moved: func(offset int64) { u.show.moved(out.found, offset) },
		metadata: uploadMetadata([2]string{"filename", filepath.Base(out.path)}, [2]string{"filetype", "dcm"}, [2]string{"sha256", digest},
			[2]string{"patient_id", u.patient}, [2]string{"project_id", u.project}, [2]string{"resume", "true"})}
	out.image, err = s.run(ctx)
	out.resumed, out.sent = max(s.resumed, 0), s.sent
	if err != nil {
		return err
	}
	if out.image.Sha256 != digest {
		return errors.New("the gateway stored other bytes than these: its sha256 differs")
	}
	same.image = &out.image
	return nil
}

func (u *uploading) content(digest string) *content {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.contents[digest] == nil {
		u.contents[digest] = &content{}
	}
	return u.contents[digest]
}
