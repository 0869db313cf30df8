// Package config is the shape of etc/dicom-rpc.yaml: the keys that every service has
// (internal/rpcserver) and its own. docs/configuration.md explains them.
package config

import (
	"clinsource/internal/rpcclient"
	"clinsource/internal/rpcserver"
	"clinsource/internal/subjects"
)

// Config of dicom-rpc.
type Config struct {
	rpcserver.Config
	DataFile   string           // The SQLite file with the records.
	ImageDir   string           // The folder with the images' bytes; this process's alone.
	MaxUploads int              `json:",default=64,range=[16:10000]"` // At once; more are refused at once.
	SubjectRpc rpcclient.Config // The registry, asked where a patient belongs.
	Subjects   subjects.Config  // How long its answers serve.
}
