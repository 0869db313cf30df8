package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zeromicro/go-zero/core/logx"
)

// lookAgain is how long a look at a JWKS file is good for.
const lookAgain = time.Second

var errUnknownKid = errors.New("the issuer has no key with the token's kid")

// fileKeys follows a JWKS file. It is read and compared when a token is to be
// verified, at most once a second; what cannot be used leaves the keys that are.
type fileKeys struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	looked  time.Time
	read    []byte
	set     jose.JSONWebKeySet
	problem string // The last look's error, logged once.
}

func newFileKeys(path string, now func() time.Time) (*fileKeys, error) {
	k := &fileKeys{path: path, now: now, looked: now()}
	return k, k.load()
}

func (k *fileKeys) load() error {
	data, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("the issuer's keys: %w", err)
	}
	if k.read != nil && bytes.Equal(data, k.read) {
		return nil
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil {
		return fmt.Errorf("the issuer's keys in %s: %w", k.path, err)
	}
	if len(set.Keys) == 0 {
		return fmt.Errorf("the issuer's keys in %s: there is none", k.path)
	}
	for _, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() || key.KeyID == "" {
			return fmt.Errorf("the issuer's keys in %s: each must be a public key with a kid", k.path)
		}
	}
	k.read, k.set = data, set
	return nil
}

// find implements keys.
func (k *fileKeys) find(_ context.Context, kid string) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); now.Sub(k.looked) >= lookAgain || now.Before(k.looked) {
		k.looked = now
		k.reload()
	}
	if found := k.set.Key(kid); len(found) > 0 {
		return found, nil
	}
	return nil, errUnknownKid
}

func (k *fileKeys) reload() {
	err := k.load()
	if err == nil {
		k.problem = ""
		return
	}
	fetches.WithLabelValues(k.path, "failed").Inc()
	if k.problem != err.Error() {
		k.problem = err.Error()
		logx.Errorf("the token keys in use stay in use, the changed file cannot replace them: %s", k.problem)
	}
}
