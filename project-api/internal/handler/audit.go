package handler

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auditservice"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	auditpb "clinsource/proto/audit"
)

// auditOf gives the log that the path names.
func (c *call) auditOf() (auditservice.AuditService, error) {
	if log, ok := c.svcCtx.Audit[c.vars["service"]]; ok {
		return log, nil
	}
	return nil, fault.NotFound(fault.ReasonRouteNotFound, "there is no such log; a path here ends in vitals, dicom, epro or subject")
}

func listAudit(c *call) error {
	log, err := c.auditOf()
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	in := &auditpb.ListAuditRequest{PatientId: query.Get("patient_id"), Actor: query.Get("actor"), Action: query.Get("action")}
	if in.From, err = timeOf(query.Get("from"), "from"); err != nil {
		return err
	}
	if in.To, err = timeOf(query.Get("to"), "to"); err != nil {
		return err
	}
	return list(c, in, c.svcCtx.Budgets.Subjects, log.ListAudit)
}

func timeOf(text, field string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fault.Invalid(fault.ReasonQueryInvalid, field+" must be a time in RFC 3339",
			fault.Violation{Field: field, Rule: "time.format", Message: "must be like 2026-06-01T08:30:00+02:00; write + as %2B in a query"})
	}
	return timestamppb.New(at), nil
}

// accessLog asks every service: a list that leaves one out would look whole.
func accessLog(c *call) error {
	in := &auditpb.ListAccessRequest{}
	if err := c.bind(in); err != nil {
		return err
	}
	if err := c.bindPage(in); err != nil {
		return err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Subjects)
	defer cancel()
	type answer struct {
		*auditpb.ListAccessResponse
		err error
	}
	answers := make(chan answer, len(c.svcCtx.Audit))
	for _, log := range c.svcCtx.Audit {
		go func() {
			resp, err := log.ListAccess(ctx, in)
			answers <- answer{resp, err}
		}()
	}
	all := &auditpb.ListAccessResponse{}
	var refusal error
	for range c.svcCtx.Audit {
		a := <-answers
		if a.err != nil {
			refusal = cmp.Or(refusal, a.err)
			continue
		}
		all.Records = append(all.Records, a.GetRecords()...)
		all.More = all.More || a.GetMore() // Their own tokens say where each goes on, not all of them together.
	}
	if refusal != nil {
		return refusal
	}
	slices.SortStableFunc(all.Records, func(a, b *auditpb.AuditRecord) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	if size := cmp.Or(min(int(in.GetPageSize()), page.MaxSize), page.DefaultSize); len(all.Records) > size {
		all.Records, all.More = all.Records[:size], true
	}
	return c.answer(http.StatusOK, all)
}

// exportAudit sends a service's log as it comes. If anything fails on the way the
// connection is cut; an export also says at its end how long it is.
func exportAudit(c *call) error {
	log, err := c.auditOf()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	timer := time.AfterFunc(c.svcCtx.Budgets.Idle, cancel)
	defer timer.Stop()
	stream, err := log.ExportAudit(ctx, &auditpb.ExportAuditRequest{})
	if err != nil {
		return err
	}
	piece, err := stream.Recv()
	if err != nil {
		return late(ctx, c, err)
	}
	header := c.w.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("Cache-Control", "no-store")
	rc := http.NewResponseController(c.w)
	for ; err == nil; piece, err = stream.Recv() {
		timer.Reset(c.svcCtx.Budgets.Idle)
		_ = rc.SetWriteDeadline(time.Now().Add(c.svcCtx.Budgets.Idle))
		if _, err = c.w.Write(piece.GetLines()); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) {
		c.state.reason = fault.From(err).Reason
		panic(http.ErrAbortHandler)
	}
	return nil
}
