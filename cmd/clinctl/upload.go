package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"clinsource/internal/ident"
)

// uploaded is one line of the final table.
type uploaded struct {
	file  string
	size  int64
	image image
	err   error
}

// image is the part of the gateway's answer that is shown.
type image struct {
	ImageID  string `json:"image_id"`
	Size     int64  `json:"size"`
	Sha256   string `json:"sha256"`
	Created  bool   `json:"created"`
	Findings []struct {
		RuleID string `json:"rule_id"`
	} `json:"findings"`
}

// runUpload sends files one after another. One that fails never stops the rest;
// the exit status tells whether all came through.
func runUpload(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("upload", flag.ContinueOnError)
	connect := gatewayFlags(flags)
	project := flags.String("project", "", "the project (required)")
	patient := flags.String("patient", "", "the subject's pseudonymous code (required)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: clinctl upload --project P --patient ID [flags] FILE...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !ident.Valid(*project) || !ident.Valid(*patient) {
		return errors.New("--project and --patient are required identifiers")
	}
	if flags.NArg() == 0 {
		return errors.New("no file is named")
	}
	g, err := connect()
	if err != nil {
		return err
	}
	results := make([]uploaded, 0, flags.NArg())
	failed := 0
	for _, file := range flags.Args() {
		u := uploaded{file: file}
		u.size, u.image, u.err = g.upload(ctx, *project, *patient, file)
		if u.err != nil {
			failed++
		}
		results = append(results, u)
	}
	printTable(os.Stdout, results)
	if failed > 0 {
		return fmt.Errorf("%d of %d files were not stored", failed, len(results))
	}
	return nil
}

// upload sends one file with its digest, so that what is stored is what lies here.
func (g *gateway) upload(ctx context.Context, project, patient, path string) (size int64, out image, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, out, err
	}
	defer file.Close()
	digest := sha256.New()
	if size, err = io.Copy(digest, file); err != nil {
		return size, out, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return size, out, err
	}
	bar := progress(size, filepath.Base(path))
	defer func() { _ = bar.Exit() }()
	url := g.url + "/v1/projects/" + project + "/subjects/" + patient + "/images"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, io.TeeReader(file, bar))
	if err != nil {
		return size, out, err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/dicom")
	req.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest.Sum(nil))+":")
	req.Header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(path)}))
	if err := g.do(req, &out); err != nil {
		return size, out, err
	}
	if sum := hex.EncodeToString(digest.Sum(nil)); out.Sha256 != sum {
		return size, out, errors.New("the gateway stored other bytes than these: its sha256 differs")
	}
	return size, out, bar.Finish()
}

// progress shows bytes, rate and time left on a terminal, nothing elsewhere.
func progress(size int64, name string) *progressbar.ProgressBar {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	return progressbar.NewOptions64(size,
		progressbar.OptionSetDescription(name), progressbar.OptionSetWriter(os.Stderr),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionShowTotalBytes(true), progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionOnCompletion(func() {
			if terminal {
				fmt.Fprintln(os.Stderr)
			}
		}),
		progressbar.OptionSetVisibility(terminal))
}

func printTable(w io.Writer, results []uploaded) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "FILE\tBYTES\tRESULT\tIMAGE ID\tFINDINGS")
	for _, u := range results {
		result, findings := "stored", ""
		switch {
		case u.err != nil:
			result = "NOT STORED: " + u.err.Error()
		case !u.image.Created:
			result = "there already"
		}
		for i, f := range u.image.Findings {
			if i > 0 {
				findings += ", "
			}
			findings += f.RuleID
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", u.file, u.size, result, u.image.ImageID, findings)
	}
	_ = t.Flush()
}
