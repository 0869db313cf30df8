package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"time"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/auth"
	"clinsource/internal/devcert"
)

// The demonstration project: fixed names, so that running it again changes
// nothing, and values drawn from the subject's number.
const (
	demoProject  = "demo"
	demoSubjects = 20
	demoDays     = 5
)

type object = map[string]any

// runDemo fills the project demo through the gateway, as an app would. It may
// be run again: every record has its client_record_id, every image its bytes.
func runDemo(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	connect := gatewayFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := devcert.Ensure(certDir, time.Now()); err != nil {
		return err
	}
	g, err := connect()
	if err != nil {
		return err
	}
	if g.token == "" {
		if g.token, err = demoToken(); err != nil {
			return err
		}
	}
	d := &demo{g: g, path: "/v1/projects/" + demoProject, day: time.Date(2026, 6, 1, 8, 0, 0, 0, time.FixedZone("", 2*3600))}
	if err := d.fill(ctx); err != nil {
		return err
	}
	fmt.Printf("project %s: 2 sites, %d subjects, %d records and images sent\n", demoProject, demoSubjects, d.sent)
	fmt.Printf("see it: curl --cacert %s/ca.crt -H \"Authorization: Bearer $(bin/clinctl token --sub me --role monitor --project %s)\" %s%s\n",
		certDir, demoProject, g.url, d.path)
	return nil
}

func demoToken() (string, error) {
	grants := []auth.Grant{{Role: auth.Admin}, {Role: auth.Admin, Project: demoProject}}
	return auth.Issue(issuerKey, "demo", grants, time.Hour)
}

type demo struct {
	g    *gateway
	path string
	day  time.Time
	sent int
}

func (d *demo) fill(ctx context.Context) error {
	steps := []struct {
		path string
		body object
	}{
		{"/v1/projects", object{"project_id": demoProject, "title": "Demonstration"}},
		{d.path + "/sites", object{"site_id": "demo-s1", "name": "First site"}},
		{d.path + "/sites", object{"site_id": "demo-s2", "name": "Second site"}},
	}
	for _, s := range steps {
		if err := d.g.post(ctx, s.path, s.body, nil); err != nil {
			return fmt.Errorf("POST %s: %w", s.path, err)
		}
	}
	for i := 1; i <= demoSubjects; i++ {
		if err := d.subject(ctx, i); err != nil {
			return fmt.Errorf("subject %d: %w", i, err)
		}
	}
	return nil
}

func (d *demo) subject(ctx context.Context, i int) error {
	id := fmt.Sprintf("demo-%03d", i)
	site := "demo-s2"
	if i%2 == 1 {
		site = "demo-s1"
	}
	if err := d.g.post(ctx, d.path+"/subjects", object{"patient_id": id, "site_id": site}, nil); err != nil {
		return err
	}
	for day := range demoDays {
		if err := d.record(ctx, id, "vitals", day, d.vitals(i, day)); err != nil {
			return err
		}
	}
	for day := 0; day < demoDays; day += 2 {
		if err := d.record(ctx, id, "reports", day, d.report(i, day)); err != nil {
			return err
		}
	}
	if err := d.record(ctx, id, "medications", 0, d.medication(i)); err != nil {
		return err
	}
	return d.image(ctx, id, i)
}

func (d *demo) record(ctx context.Context, patient, kind string, n int, body object) error {
	body["client_record_id"] = fmt.Sprintf("demo-%s-%s-%d", kind, patient, n)
	d.sent++
	return d.g.post(ctx, d.path+"/subjects/"+patient+"/"+kind, body, nil)
}

func (d *demo) at(day int) string { return d.day.AddDate(0, 0, day).Format(time.RFC3339) }

// vitals spreads blood pressures over the categories; every seventh subject
// measures the temperature in Fahrenheit.
func (d *demo) vitals(i, day int) object {
	temperature := object{"value": 36.4 + float64((i+day)%8)/10, "unit": "CELSIUS"}
	if i%7 == 0 {
		temperature = object{"value": 98.6, "unit": "FAHRENHEIT"}
	}
	return object{
		"measurement_time":  d.at(day),
		"blood_pressure":    object{"systolic": 104 + 4*i + 2*day, "diastolic": 66 + i + day},
		"temperature":       temperature,
		"heart_rate":        object{"beats_per_minute": 58 + (3*i+day)%40},
		"respiratory_rate":  object{"breaths_per_minute": 12 + (i+day)%8},
		"oxygen_saturation": object{"percent": 94 + (i+day)%6},
		"body_weight":       object{"value": 55.5 + float64(i), "unit": "KILOGRAM"},
	}
}

func (d *demo) report(i, day int) object {
	return object{
		"questionnaire_id": "daily-diary", "questionnaire_version": "1.0", "authored_time": d.at(day),
		"answers": []object{
			{"link_id": "pain-now", "integer_value": (i + day) % 11},
			{"link_id": "slept-well", "boolean_value": (i+day)%3 != 0},
			{"link_id": "mood", "coding_value": object{"system": "https://clinsource.invalid/mood", "code": []string{"low", "even", "good"}[(i+day)%3]}},
		},
	}
}

func (d *demo) medication(i int) object {
	return object{
		"medication": object{"system": "http://www.whocc.no/atc", "code": "C07AB02", "display": "metoprolol"},
		"dose":       object{"value": 25 * (1 + i%3), "ucum_unit": "mg"},
		"route":      object{"system": "http://standardterms.edqm.eu", "code": "20053000", "display": "Oral use"},
		"start_time": d.at(0),
	}
}

// image makes a small multi-frame image, the same bytes on every run.
func (d *demo) image(ctx context.Context, patient string, i int) error {
	root := fmt.Sprintf("2.25.%d", 340_000_000_000+i)
	var buffer bytes.Buffer
	_, err := dicomfile.WriteSynthetic(&buffer, dicomfile.SyntheticSpec{
		PatientID: patient, StudyDate: d.day.AddDate(0, 0, 1), StudyUID: root + ".1", SeriesUID: root + ".2",
		InstanceUID: root + ".3", Rows: 256, Columns: 256, Frames: 2, Seed: uint64(i),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, d.g.url+d.path+"/subjects/"+patient+"/images", &buffer)
	if err != nil {
		return err
	}
	d.sent++
	return d.g.do(req, nil)
}
