// Package config is the shape of etc/vitals-rpc.yaml: the keys that every service has
// (internal/rpcserver) and its own. docs/configuration.md explains them.
package config

import (
	"clinsource/internal/rpcclient"
	"clinsource/internal/rpcserver"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
)

// Config of vitals-rpc.
type Config struct {
	rpcserver.Config
	sqldb.Place                  // Where the rows lie.
	SubjectRpc  rpcclient.Config // The registry, asked where a patient belongs.
	Subjects    subjects.Config  // How long its answers serve.
}
