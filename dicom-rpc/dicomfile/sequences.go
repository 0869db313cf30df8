package dicomfile

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// sequences.txt lists the tags to which PS3.6 gives the VR SQ, a line being a
// group and its elements. An implicit encoding does not say which values are
// sequences; without this list they could be stepped over unseen, however deep
// a decoder with a dictionary would later descend into them.
//
//go:embed sequences.txt
var sequenceList string

var sequenceTags = sync.OnceValue(func() map[Tag]struct{} {
	tags := make(map[Tag]struct{}, 1500)
	for line := range strings.Lines(sequenceList) {
		fields := strings.Fields(line)
		for _, element := range fields[1:] {
			var g, e uint16
			if _, err := fmt.Sscanf(fields[0]+" "+element, "%x %x", &g, &e); err != nil {
				panic("sequences.txt: " + line) // embedded: a test reads every line
			}
			tags[Tag(g)<<16|Tag(e)] = struct{}{}
		}
	}
	return tags
})

func (t Tag) isSequence() bool {
	_, ok := sequenceTags()[t]
	return ok
}
