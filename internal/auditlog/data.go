package auditlog

import (
	"fmt"
	"slices"
)

// dataCheck holds the stored versions against the digests in the log.
type dataCheck struct {
	Data
	stored map[versionKey]string // Digest of each that no row was about yet.
	sizes  map[int64]int64       // Of each lane when Data.Checkpoint was made.
}

type versionKey struct {
	kind, project, record string
	version               int64
}

func (k versionKey) String() string {
	return fmt.Sprintf("version %d of %s record %s", k.version, k.kind, k.record)
}

func newDataCheck() dataCheck {
	return dataCheck{stored: map[versionKey]string{}, sizes: map[int64]int64{}}
}

func (d *dataCheck) version(v *Version) {
	d.stored[versionKey{v.Kind, v.Project, v.Record, v.Version}] = v.Digest
}

// covers notes what the checkpoint had that the versions were read after.
func (d *dataCheck) covers(c *Checkpoint) {
	if c.Seq != d.Checkpoint {
		return
	}
	for _, h := range c.Heads {
		d.sizes[h.Lane] = h.Size
	}
}

// row compares what a row is about.
func (d *dataCheck) row(r *Row) (wrong Wrong, where, detail string) {
	if r.Digest == "" || !slices.Contains(d.Kinds, r.Kind) || !slices.Contains(d.Projects, r.Project) {
		return "", "", ""
	}
	key := versionKey{r.Kind, r.Project, r.Record, r.Version}
	digest, known := d.stored[key]
	delete(d.stored, key)
	switch {
	case known && digest != r.Digest:
		return Edited, key.String(), "what is stored is not what the log says was stored"
	case !known && r.Index < d.sizes[r.Lane]:
		return Deleted, key.String(), "the log says that it was stored, and it is not there"
	}
	return "", "", ""
}

// rest gives the first version that no row is about.
func (d *dataCheck) rest() (where string, found bool) {
	for key := range d.stored {
		if name := key.String(); !found || name < where {
			where, found = name, true
		}
	}
	return where, found
}
