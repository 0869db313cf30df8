// Package config is the shape of etc/dicom-rpc.yaml: the keys that every service has
// (internal/rpcserver) and its own. docs/configuration.md explains them.
package config

import (
	"errors"
	"time"

	"clinsource/internal/rpcclient"
	"clinsource/internal/rpcserver"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
)

// Config of dicom-rpc.
type Config struct {
	rpcserver.Config
	sqldb.Place        // Where the rows lie.
	ImageDir    string // The folder with the images' bytes; the replicas share it.
	MaxUploads  int    `json:",default=256,range=[16:10000]"` // Streams at once in this process; more are refused at once.

	MaxOpenUploads int           `json:",default=1024,range=[256:1000000]"` // Uploads begun and not ended, of all callers and replicas.
	UploadExpiry   time.Duration `json:",default=24h"`                      // An open upload without progress ends after this.
	ProjectQuota   int64         `json:",default=1099511627776"`            // Bytes of a project's images, those promised to open uploads included.

	SubjectRpc rpcclient.Config // The registry, asked where a patient belongs.
	Subjects   subjects.Config  // How long its answers serve.
}

// Validate checks what the types and ranges above cannot say.
func (c Config) Validate() error {
	switch {
	case c.UploadExpiry < time.Minute:
		return errors.New("UploadExpiry must be at least 1m: an upload that was cut needs time to be gone on with")
	case c.ProjectQuota < 1:
		return errors.New("ProjectQuota must be at least 1: the bytes that a project may store")
	}
	return nil
}
