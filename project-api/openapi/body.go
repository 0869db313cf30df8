package openapi

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

func isJSON(mediaType string) bool {
	return mediaType == jsonType || strings.HasSuffix(mediaType, "+json")
}

// check holds an answer's body against its content type's schema.
func (r response) check(status int, contentType string, body []byte) error {
	if len(r) == 0 {
		return nil // Any: what it is depends on the path, as with the files of a page.
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("the content type %q cannot be read: %w", contentType, err)
	}
	schema, ok := r[mediaType]
	switch {
	case !ok:
		return fmt.Errorf("the content type is %s; the contract has %v", mediaType, slices.Sorted(maps.Keys(r)))
	case schema == nil:
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	if err := schema.Validate(value); err != nil {
		return err
	}
	if mediaType != problemType {
		return nil
	}
	if said := fmt.Sprint(value.(object)["status"]); said != strconv.Itoa(status) {
		return fmt.Errorf("the problem says status %s", said)
	}
	return nil
}
