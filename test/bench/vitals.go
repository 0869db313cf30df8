package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	vitalspb "clinsource/proto/vitals"
)

// severalConns is how many connections the second contender over zRPC opens.
const severalConns = 8

// sequence numbers the uploads: each has a client_record_id of its own.
var sequence atomic.Int64

func nextRecordID() string { return fmt.Sprintf("bench-%010d", sequence.Add(1)) }

// upload is what a device sends: a blood pressure, a temperature and a heart
// rate of a moment ago, the values drawn from the upload's number.
type upload struct {
	patient, id                    string
	at                             time.Time
	systolic, diastolic, heartRate int32
	temperature                    float32
}

func (w *world) next() upload {
	n := sequence.Load()
	return upload{
		patient: w.patients[n%subjectCount], id: nextRecordID(), at: time.Now().Add(-time.Second).Truncate(time.Millisecond),
		systolic: 110 + int32(n%20), diastolic: 70 + int32(n%9), heartRate: 60 + int32(n%30), temperature: 36.6,
	}
}

// vitalsGroup is one durable UploadVitals, from the bare write to the gateway.
func vitalsGroup(ctx context.Context, b *bench, g *group) error {
	g.title, g.unit = "UploadVitals, durable", "upload"
	engine, err := openEngine(ctx, filepath.Join(b.folder, engineFile), b.world)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, func() { _ = engine.Close() })
	one, err := overRPC(b.world, g, 1)
	if err != nil {
		return err
	}
	several, err := overRPC(b.world, g, severalConns)
	if err != nil {
		return err
	}
	http1, err := overHTTP(b.world, g, b.callers, false)
	if err != nil {
		return err
	}
	http2, err := overHTTP(b.world, g, 1, true)
	if err != nil {
		return err
	}
	bare := b.contender(g, "bare commit queue, in process", b.callers, engine.put)
	direct := b.contender(g, "zRPC, one connection", b.callers, one)
	b.contender(g, fmt.Sprintf("zRPC, %d connections", severalConns), b.callers, several)
	gateway1 := b.contender(g, "gateway, HTTP/1.1 keep-alive", b.callers, http1)
	gateway2 := b.contender(g, "gateway, HTTP/2, one connection", b.callers, http2)
	g.goals = []goal{
		{what: "UploadVitals over zRPC / bare commit queue", want: 0.60, ratios: rateOver(direct, bare)},
		{what: "UploadVitals through the gateway, HTTP/1.1 / bare commit queue", want: 0.30, ratios: rateOver(gateway1, bare)},
		{what: "  the same over HTTP/2", ratios: rateOver(gateway2, bare)},
	}
	return nil
}

// overRPC uploads as a partner does: straight to vitals-rpc, the callers spread
// over so many connections.
func overRPC(w *world, g *group, conns int) (operation, error) {
	var clients []vitalspb.VitalsServiceClient
	for range conns {
		conn, err := dial("vitals-rpc", vitalsAddr, "partner")
		if err != nil {
			return nil, err
		}
		g.closers = append(g.closers, func() { _ = conn.Close() })
		clients = append(clients, vitalspb.NewVitalsServiceClient(conn))
	}
	return func(ctx context.Context, caller int) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(authorized(ctx, w.token), callWithin)
		defer cancel()
		resp, err := clients[caller%conns].UploadVitals(ctx, w.next().message())
		if err == nil && !resp.GetCreated() {
			err = errors.New("an upload was taken for a resend")
		}
		return 0, err
	}, nil
}

func (u upload) message() *vitalspb.UploadVitalsRequest {
	return &vitalspb.UploadVitalsRequest{
		PatientId: u.patient, MeasurementTime: timestamppb.New(u.at), ClientRecordId: u.id,
		BloodPressure: &vitalspb.BloodPressure{Systolic: u.systolic, Diastolic: u.diastolic},
		Temperature:   &vitalspb.Temperature{Value: u.temperature},
		HeartRate:     &vitalspb.HeartRate{BeatsPerMinute: u.heartRate},
	}
}

// overHTTP uploads as an app does.
func overHTTP(w *world, g *group, conns int, http2 bool) (operation, error) {
	web, err := newWeb(conns, http2)
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, web.CloseIdleConnections)
	return func(ctx context.Context, _ int) (time.Duration, error) {
		u := w.next()
		_, err := send(ctx, web, http.MethodPost, "/v1/projects/"+w.project+"/subjects/"+u.patient+"/vitals", w.token, u.json())
		return 0, err
	}, nil
}

func (u upload) json() []byte {
	return fmt.Appendf(nil, `{"client_record_id":%q,"measurement_time":%q,"blood_pressure":{"systolic":%d,"diastolic":%d},`+
		`"temperature":{"value":%.1f,"unit":"CELSIUS"},"heart_rate":{"beats_per_minute":%d}}`,
		u.id, u.at.UTC().Format("2006-01-02T15:04:05.000Z"), u.systolic, u.diastolic, u.temperature, u.heartRate)
}
