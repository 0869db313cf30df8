package auditlog

import (
	"fmt"
	"slices"
)

// dataCheck holds the stored versions against the digests in the log.
type dataCheck struct {
	logged map[versionKey]string // What the log says.
	hidden bool                  // It says more than the exporter may read.
}

type versionKey struct {
	kind, project, record string
	version               int64
}

func newDataCheck() dataCheck { return dataCheck{logged: map[versionKey]string{}} }

func (d *dataCheck) row(r *Row) {
	if r.Digest != "" {
		d.logged[versionKey{r.Kind, r.Project, r.Record, r.Version}] = r.Digest
	}
}

func (d *dataCheck) version(v *Version) (wrong Wrong, detail string) {
	key := versionKey{v.Kind, v.Project, v.Record, v.Version}
	digest, known := d.logged[key]
	delete(d.logged, key)
	switch {
	case !known && d.hidden:
		return "", ""
	case !known:
		return Inserted, "no record of the log is about it"
	case digest != v.Digest:
		return Edited, "what is stored is not what the log says was stored"
	}
	return "", ""
}

// conclude gives the first version of the kinds that the log knows and the database
// has not.
func (d *dataCheck) conclude(kinds []string) (missing string, found bool) {
	var all []string
	for k := range d.logged {
		if slices.Contains(kinds, k.kind) {
			all = append(all, fmt.Sprintf("version %d of %s record %s", k.version, k.kind, k.record))
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return slices.Min(all), true
}
