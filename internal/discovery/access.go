package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Access is what etcd lets one process do. A process is an etcd user by the
// common name of its client certificate: there is no password to keep or to let
// expire. Everybody reads who is registered and hears signals; only Keys may be
// written, and Signals sent.
type Access struct {
	User    string
	Keys    []string // Service keys that it registers under.
	Signals []string // Topics that it sends.
}

// rootUser is the one that etcd demands before it asks anybody who he is. It has
// no password and no certificate, so nobody can be it.
const rootUser = "root"

// Protect gives the etcd at hosts its users and roles and turns its
// authentication on. admin is the common name of the certificate in tlsConfig:
// it may do all, and so may call this again. What is as it should be stays;
// rights that all does not name are taken away; users that it does not name are
// left alone.
func Protect(ctx context.Context, hosts []string, tlsConfig *tls.Config, admin string, all []Access) error {
	c, err := NewClient(hosts, tlsConfig)
	if err != nil {
		return err
	}
	err = protect(ctx, c.etcd, admin, all)
	return errors.Join(err, c.Close())
}

func protect(ctx context.Context, etcd *clientv3.Client, admin string, all []Access) error {
	for _, user := range []string{rootUser, admin} {
		if err := ensureUser(ctx, etcd, user, rootUser); err != nil {
			return err
		}
	}
	keys := []string{signalPrefix}
	for _, a := range all {
		for _, key := range a.Keys {
			keys = append(keys, prefix(key))
		}
	}
	for _, a := range all {
		if err := ensureRole(ctx, etcd, a.User, a.permissions(keys)); err != nil {
			return fmt.Errorf("etcd role %s: %w", a.User, err)
		}
		if err := ensureUser(ctx, etcd, a.User, a.User); err != nil {
			return err
		}
	}
	if _, err := etcd.AuthEnable(ctx); err != nil {
		return fmt.Errorf("turn etcd's authentication on: %w", err)
	}
	return nil
}

// permission is a right to all keys with a prefix.
type permission struct {
	prefix string
	kind   clientv3.PermissionType
}

func (a Access) permissions(readable []string) (wanted []permission) {
	for _, p := range readable {
		wanted = append(wanted, permission{p, clientv3.PermissionType(clientv3.PermRead)})
	}
	for _, key := range a.Keys {
		i := slices.IndexFunc(wanted, func(w permission) bool { return w.prefix == prefix(key) })
		wanted[i].kind = clientv3.PermissionType(clientv3.PermReadWrite)
	}
	for _, topic := range a.Signals {
		wanted = append(wanted, permission{signalPrefix + topic, clientv3.PermissionType(clientv3.PermWrite)})
	}
	return wanted
}

func ensureUser(ctx context.Context, etcd *clientv3.Client, user, role string) error {
	_, err := etcd.UserAddWithOptions(ctx, user, "", &clientv3.UserAddOptions{NoPassword: true})
	if err != nil && !errors.Is(err, rpctypes.ErrUserAlreadyExist) {
		return fmt.Errorf("etcd user %s: %w", user, err)
	}
	if role == rootUser {
		if _, err := etcd.RoleAdd(ctx, rootUser); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
			return fmt.Errorf("etcd role %s: %w", rootUser, err)
		}
	}
	has, err := etcd.UserGet(ctx, user)
	if err != nil {
		return fmt.Errorf("etcd user %s: %w", user, err)
	}
	if slices.Contains(has.Roles, role) {
		return nil
	}
	if _, err := etcd.UserGrantRole(ctx, user, role); err != nil {
		return fmt.Errorf("etcd user %s: %w", user, err)
	}
	return nil
}

// ensureRole makes the role have the wanted rights and no others. It changes
// only what differs: a right is not gone for a moment while it is set anew.
func ensureRole(ctx context.Context, etcd *clientv3.Client, role string, wanted []permission) error {
	if _, err := etcd.RoleAdd(ctx, role); err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		return err
	}
	has, err := etcd.RoleGet(ctx, role)
	if err != nil {
		return err
	}
	for _, h := range has.Perm {
		named := slices.ContainsFunc(wanted, func(w permission) bool {
			return w.prefix == string(h.Key) && clientv3.GetPrefixRangeEnd(w.prefix) == string(h.RangeEnd)
		})
		if named {
			continue
		}
		if _, err := etcd.RoleRevokePermission(ctx, role, string(h.Key), string(h.RangeEnd)); err != nil {
			return err
		}
	}
	for _, w := range wanted {
		same := slices.ContainsFunc(has.Perm, func(h *authpb.Permission) bool {
			return w.prefix == string(h.Key) && clientv3.GetPrefixRangeEnd(w.prefix) == string(h.RangeEnd) && int32(h.PermType) == int32(w.kind)
		})
		if same {
			continue
		}
		if _, err := etcd.RoleGrantPermission(ctx, role, w.prefix, clientv3.GetPrefixRangeEnd(w.prefix), w.kind); err != nil {
			return err
		}
	}
	return nil
}

// KeepProtected calls Protect until it succeeds, and again every now and then: an
// etcd whose data were wiped comes back without users, and lets everybody do
// everything. It returns when ctx ends. report is told of each change from well
// to not well and back.
func KeepProtected(ctx context.Context, hosts []string, tlsConfig *tls.Config, admin string, all []Access, report func(error)) error {
	c, err := NewClient(hosts, tlsConfig)
	if err != nil {
		return err
	}
	defer c.Close()
	var last error
	for first := true; ; first = false {
		bounded, cancel := context.WithTimeout(ctx, protectWithin)
		err := protect(bounded, c.etcd, admin, all)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if first || (err == nil) != (last == nil) {
			report(err)
		}
		last = err
		pause := protectEvery
		if err != nil {
			pause = c.pace.retryMin
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

const (
	protectWithin = 5 * time.Second
	protectEvery  = 10 * time.Second
)
