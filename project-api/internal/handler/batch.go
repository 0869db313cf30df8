package handler

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"google.golang.org/protobuf/proto"

	"clinsource/internal/fault"
	"clinsource/internal/safely"
	"clinsource/project-api/internal/problem"
	"clinsource/project-api/internal/wire"
	vitalspb "clinsource/proto/vitals"
)

// Bounds of a batch: records, and how many are under way at once.
const (
	maxBatch     = 1000
	batchAtOnce  = 16
	recordsField = "records"
)

// result is what became of one record of a batch.
type result struct {
	Index  int             `json:"index"`
	Status int             `json:"status"` // As the record alone would have had.
	Record json.RawMessage `json:"record,omitempty"`
	// Problem is the refusal, if status is 400 or above.
	Problem *problem.Problem `json:"problem,omitempty"`
}

// uploadVitalsBatch stores each record for itself and answers per record, in
// their order: one that is refused takes no other with it. Sent again as a
// whole, what was stored is found.
func uploadVitalsBatch(c *call) error {
	data, err := c.body(maxBatchBody)
	if err != nil {
		return err
	}
	items, err := splitBatch(data)
	if err != nil {
		return err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Batch)
	defer cancel()
	c.r = c.r.WithContext(ctx)
	results := make([]result, len(items))
	places := make(chan struct{}, batchAtOnce)
	var wg sync.WaitGroup
	for i, item := range items {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			results[i] = c.uploadOne(i, item)
		})
	}
	wg.Wait()
	body, err := json.Marshal(map[string][]result{"results": results})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, body)
}

// splitBatch reads {"records": [...]} and leaves each record as it came.
func splitBatch(data []byte) ([]json.RawMessage, error) {
	malformed := batchInvalid("body", "body.malformed", `must be one JSON object {"records": [...]}`)
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed
	}
	var items []json.RawMessage
	for seen := false; d.More(); seen = true {
		name, err := d.Token()
		switch {
		case err != nil:
			return nil, malformed
		case name != recordsField:
			return nil, batchInvalid("body", "field.unknown", "has a field that is not known; a batch has records")
		case seen:
			return nil, batchInvalid(recordsField, "field.duplicate", "is there twice")
		}
		if err := d.Decode(&items); err != nil {
			return nil, batchInvalid(recordsField, "field.type", "must be an array of objects")
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	if len(items) == 0 || len(items) > maxBatch {
		return nil, batchInvalid(recordsField, "batch.size", "must hold 1 to 1000 records; split it")
	}
	return items, nil
}

func batchInvalid(field, rule, message string) error {
	return fault.Invalid(fault.ReasonBodyInvalid, field+": "+message, fault.Violation{Field: field, Rule: rule, Message: message})
}

func (c *call) uploadOne(i int, item []byte) result {
	out, err := safely.Do(c.r.Context(), func() (proto.Message, error) { return c.uploadItem(item) })
	if err == nil {
		return result{Index: i, Status: createdStatus(out), Record: wire.Encode(out)}
	}
	p := problem.Of(fault.From(err), c.r.Header.Get("Accept-Language"), c.state.about, c.state.requestID)
	return result{Index: i, Status: p.Status, Problem: &p}
}

func (c *call) uploadItem(item []byte) (proto.Message, error) {
	if err := c.r.Context().Err(); err != nil {
		return nil, fault.From(err)
	}
	in := &vitalspb.UploadVitalsRequest{}
	if err := wire.Decode(item, in); err != nil {
		return nil, err
	}
	if err := c.bind(in); err != nil {
		return nil, err
	}
	ctx, cancel := c.within(c.svcCtx.Budgets.Write)
	defer cancel()
	return c.svcCtx.VitalsRpc.UploadVitals(ctx, in)
}
