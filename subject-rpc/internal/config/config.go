// Package config is the shape of etc/subject-rpc.yaml: the keys that every service has
// (internal/rpcserver) and its own. docs/configuration.md explains them.
package config

import (
	"clinsource/internal/rpcserver"
	"clinsource/internal/sqldb"
)

// Config of subject-rpc.
type Config struct {
	rpcserver.Config
	sqldb.Place // Where the registry and the medication records lie.
}
