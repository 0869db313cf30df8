package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/devcert"
)

// logged are the services that keep a log; a verification wants them all.
var logged = []string{"dicom", "epro", "subject", "vitals"}

func runAudit(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{"export": auditExport, "verify": auditVerify, "show": auditShow}
	if len(args) > 0 {
		if run, ok := commands[args[0]]; ok {
			return run(ctx, args[1:])
		}
	}
	return errors.New("usage: clinctl audit export --out FILE | verify --in FILE --key audit.pub | show --project P")
}

// auditGateway connects as who may read the log: with the token given, or, where the
// development issuer's key lies, as a monitor of the projects.
func auditGateway(ctx context.Context, connect func() (*gateway, error), project string) (*gateway, error) {
	if _, err := devcert.Ensure(certDir, time.Now()); err != nil {
		return nil, err
	}
	g, err := connect()
	if err != nil || g.token != "" {
		return g, err
	}
	grants := []auth.Grant{{Role: auth.Admin}}
	if g.token, err = auth.Issue(issuerKey, "auditor", grants, time.Hour); err != nil {
		return nil, err
	}
	projects := []string{project}
	if project == "" {
		if projects, err = g.projects(ctx); err != nil {
			return nil, err
		}
	}
	for _, p := range projects {
		grants = append(grants, auth.Grant{Role: auth.Monitor, Project: p})
	}
	g.token, err = auth.Issue(issuerKey, "auditor", grants, time.Hour)
	return g, err
}

// mostGrants bounds the projects of a development token: it travels in a header.
const mostGrants = 200

func (g *gateway) projects(ctx context.Context) (all []string, err error) {
	for token := ""; len(all) < mostGrants; {
		var page struct {
			Projects []struct {
				ID string `json:"project_id"`
			} `json:"projects"`
			Next string `json:"next_page_token"`
		}
		if err := g.get(ctx, "/v1/projects?page_size=200&page_token="+token, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Projects {
			all = append(all, p.ID)
		}
		if token = page.Next; token == "" {
			break
		}
	}
	return all[:min(len(all), mostGrants)], nil
}

func (g *gateway) get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		return err
	}
	return g.do(req, out)
}

func auditExport(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("audit export", flag.ContinueOnError)
	connect := gatewayFlags(flags)
	out := flags.String("out", "", "the file to write (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("--out is required: the file to write")
	}
	g, err := auditGateway(ctx, connect, "")
	if err != nil {
		return err
	}
	aside := *out + ".part" // Half an export must not look like one.
	file, err := os.OpenFile(aside, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(writeExport(ctx, g, file), file.Sync(), file.Close())
	if err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	if err := os.Rename(aside, *out); err != nil {
		return err
	}
	fmt.Println("wrote " + *out + "; check it with: clinctl audit verify --in " + *out + " --key audit.pub (in development: certs/dev/audit.pub)")
	return nil
}

func writeExport(ctx context.Context, g *gateway, to io.Writer) error {
	buffered := bufio.NewWriterSize(to, 1<<20)
	header, err := json.Marshal(auditlog.Line{Header: &auditlog.Header{Format: auditlog.Format, Services: logged}})
	if err != nil {
		return err
	}
	if _, err := buffered.Write(append(header, '\n')); err != nil {
		return err
	}
	for _, service := range logged {
		if err := g.copyLog(ctx, service, buffered); err != nil {
			return fmt.Errorf("the log of %s: %w", service, err)
		}
	}
	return buffered.Flush()
}

// copyLog copies the lines of one service's log; the last says that it is whole.
func (g *gateway) copyLog(ctx context.Context, service string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/audit/"+service, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	resp, err := g.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p := &problem{Status: resp.StatusCode}
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p) != nil || p.Reason == "" {
			return fmt.Errorf("status %d without a problem document: is this the gateway?", resp.StatusCode)
		}
		return p
	}
	_, err = io.Copy(to, resp.Body)
	return err
}

// errNotWhole is the status of a verification that found something, which is on
// standard output already.
var errNotWhole = errors.New("the audit log is not whole")

func auditVerify(_ context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	in := flags.String("in", "", "the export (required)")
	var keys list
	flags.Var(&keys, "key", "a file of public keys, one a line; may be given several times (required)")
	checkpoints := flags.String("checkpoints", "", "a folder with the checkpoints that were kept outside the databases")
	every := flags.Bool("all", false, "list all findings, not only the first")
	var services list
	flags.Var(&services, "service", "only these logs must be in the export")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *in == "" || len(keys) == 0 {
		return errors.New("--in and --key are required: the export, and the public key that its checkpoints are signed with")
	}
	var text strings.Builder
	for _, name := range keys {
		key, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
		text.Write(append(key, '\n'))
	}
	verifiers, err := auditlog.Keys(text.String())
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	var outside []auditlog.Outside
	if *checkpoints != "" {
		if outside, err = auditlog.ReadOutside(*checkpoints); err != nil {
			return fmt.Errorf("--checkpoints: %w", err)
		}
	}
	file, err := os.Open(*in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if len(services) == 0 {
		services = logged
	}
	report := auditlog.Verify(file, verifiers, services, outside)
	fmt.Println(report.Text())
	if len(report.Findings) == 0 {
		return nil
	}
	if *every {
		for _, f := range report.Findings[1:] {
			fmt.Println(f)
		}
	}
	return fmt.Errorf("%w; findings: %d", errNotWhole, len(report.Findings))
}

// services that a show asks: one, or all.
func showServices(one string) ([]string, error) {
	if one == "" {
		return logged, nil
	}
	if !slices.Contains(logged, one) {
		return nil, fmt.Errorf("--service %q is none of %s", one, strings.Join(logged, ", "))
	}
	return []string{one}, nil
}
