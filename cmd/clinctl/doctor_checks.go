package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clinsource/internal/disk"
	"clinsource/internal/sqldb"
)

const rotate = "issue a new one and put it in place of the old: processes take it up by themselves (docs/operations.md#rotate-certificates)"

// certificates looks at each file once, however many configs name it.
func (d *doctor) certificates(configs []configFile) {
	pairs, cas := [][2]string{{d.cert, d.key}}, []string{d.ca}
	trust := map[string][]string{d.cert: {d.ca}}
	for _, c := range configs {
		for _, p := range c.pairs {
			if !slices.Contains(pairs, p) {
				pairs = append(pairs, p)
			}
		}
		for _, ca := range c.cas {
			if !slices.Contains(cas, ca) {
				cas = append(cas, ca)
			}
		}
		for cert, by := range c.trust {
			trust[cert] = append(trust[cert], by...)
		}
	}
	for _, ca := range cas {
		d.authority(ca)
	}
	for _, p := range pairs {
		d.pair(p[0], p[1], trust[p[0]])
	}
}

func (d *doctor) authority(path string) {
	_, first, err := pool(path)
	if err != nil {
		d.fail("authority "+path, "see certs/README.md", "%v", err)
		return
	}
	d.expiry("authority "+path, "", first)
}

// pool reads a bundle of authorities and the first expiry among them.
func pool(path string) (*x509.CertPool, time.Time, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	certs, first := x509.NewCertPool(), time.Time{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, time.Time{}, err
		}
		certs.AddCert(cert)
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	if first.IsZero() {
		return nil, first, errors.New("the file holds no certificate")
	}
	return certs, first, nil
}

func (d *doctor) expiry(about, name string, at time.Time) {
	says := "holds for " + left(at, d.now)
	if name != "" {
		says = name + ", " + says
	}
	switch remaining := at.Sub(d.now); {
	case remaining <= 0:
		d.fail(about, rotate, "expired at %s", at.Format(time.RFC3339))
	case remaining < failBefore:
		d.fail(about, rotate, "%s only", says)
	case remaining < warnBefore:
		d.warn(about, rotate, "%s only", says)
	default:
		d.ok(about, "%s", says)
	}
}

func (d *doctor) pair(certFile, keyFile string, cas []string) {
	about := "certificate " + certFile
	loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		d.fail(about, "bring the two files of one issue; see certs/README.md", "%v", err)
		return
	}
	d.keyMode(keyFile)
	leaf := loaded.Leaf
	if len(leaf.DNSNames) == 0 {
		d.fail(about, "issue it with a DNS subjectAltName: the first one is the process's name", "it has no DNS name")
		return
	}
	middle := x509.NewCertPool()
	for _, der := range loaded.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			middle.AddCert(c)
		}
	}
	for _, ca := range cas {
		roots, _, err := pool(ca)
		if err != nil {
			continue // Told already, of the authority.
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: d.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil && d.now.Before(leaf.NotAfter) {
			d.fail(about, "issue it by an authority of "+ca+", or add its authority there", "%v", err)
			return
		}
	}
	d.expiry(about, leaf.DNSNames[0], leaf.NotAfter)
}

func (d *doctor) keyMode(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return // It has been read a moment ago.
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		d.fail("key "+path, "chmod 600 "+path+", and issue a new one if somebody may have read it", "others may use it: its mode is %o", mode)
	}
}

// storage looks at the room where the data is, and at the databases.
func (d *doctor) storage(ctx context.Context, configs []configFile) {
	for _, c := range configs {
		if c.store != "" {
			d.postgres(ctx, c.name, c.store)
		}
		for _, key := range []string{"DataFile", "ImageDir"} {
			path, ok := c.paths[key]
			if !ok {
				continue
			}
			folder := path
			if key == "DataFile" {
				folder = filepath.Dir(path)
				d.database(ctx, c.name, path)
			}
			d.room(c.name+" "+key, folder)
		}
	}
}

func (d *doctor) room(about, folder string) {
	about = "disk of " + about
	there := folder
	for {
		if _, err := os.Stat(there); err == nil || filepath.Dir(there) == there {
			break
		}
		there = filepath.Dir(there) // The process makes what is missing.
	}
	free, size, err := disk.Room(there)
	if err != nil {
		d.fail(about, "make "+folder+" readable for whoever runs this", "%v", err)
		return
	}
	d.judgeRoom(about, free, size)
}

func (d *doctor) judgeRoom(about string, free, size uint64) {
	const do = "make room, or move the data to a larger disk; what does not fit is refused (507), nothing is lost"
	switch part := 100 * float64(free) / float64(size); {
	case part < 3:
		d.fail(about, do, "%.1f %% free (%d MiB)", part, free>>20)
	case part < 10:
		d.warn(about, do, "%.1f %% free (%d MiB)", part, free>>20)
	default:
		d.ok(about, "%.0f %% free (%d MiB)", part, free>>20)
	}
}

func (d *doctor) database(ctx context.Context, name, path string) {
	about := "database " + name
	ctx, cancel := context.WithTimeout(ctx, d.deep)
	defer cancel()
	i, err := sqldb.Inspect(ctx, path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.warn(about, "start "+name+", or say with --data where the data is", "there is no %s yet", path)
	case err != nil && ctx.Err() != nil:
		d.warn(about, "give it longer with --within, or run it on a copy", "its check did not end within %v", d.deep)
	case err != nil || i.Problems != "":
		d.fail(about, "stop "+name+" and restore a backup; keep the damaged file", "%s", cmpText(i.Problems, err))
	default:
		d.ok(about, "whole, schema %d, %d MiB", i.Schema, i.Bytes>>20)
	}
}

// postgres tells whether one of the hosts takes connections. Role, schema and
// version are the service's to check, when it starts.
func (d *doctor) postgres(ctx context.Context, name, store string) {
	about := "database " + name
	u, err := url.Parse(store)
	if err != nil || u.Host == "" {
		d.warn(about, "look at it with psql", "not checked: its Url names no host")
		return
	}
	var last error
	for _, host := range strings.Split(u.Host, ",") {
		if !strings.Contains(host, ":") {
			host += ":5432"
		}
		dialing, cancel := context.WithTimeout(ctx, questionWithin)
		conn, err := new(net.Dialer).DialContext(dialing, "tcp", host)
		cancel()
		if err == nil {
			d.ok(about, "PostgreSQL at %s takes connections", host)
			_ = conn.Close()
			return
		}
		last = err
	}
	d.fail(about, "start PostgreSQL, or correct Postgres.Url", "%s does not answer: %s", u.Host, short(last))
}

func (d *doctor) etcdHealth(ctx context.Context) {
	const do = "see docs/operations.md#etcdnotreached: services go on with the addresses they know"
	etcd, err := d.etcd()
	if err != nil {
		d.fail("etcd", "see certs/README.md", "%v", err)
		return
	}
	defer etcd.Close()
	for _, host := range d.hosts {
		if p := d.member(ctx, etcd, host); p.OK {
			d.ok("etcd "+host, "%s, version %s", p.State, p.Version)
		} else {
			d.fail("etcd "+host, do, "%s", p.State)
		}
	}
}

// How far clocks may be apart: certificates, tokens and the order of records
// rest on them. A Date header is cut to the second.
const (
	clockWarns = 3 * time.Second
	clockFails = 30 * time.Second
)

func (d *doctor) clocks(ctx context.Context) {
	d.clock(ctx, "project-api", d.url+"/healthz")
	for _, host := range d.hosts {
		d.clock(ctx, "etcd", "https://"+host+"/health")
	}
}

func (d *doctor) clock(ctx context.Context, server, url string) {
	about := "clock of " + server
	asked := time.Now()
	a, err := d.get(ctx, server, url)
	if err != nil {
		d.fail(about, "start it, or say where it is with --url and --etcd", "%s", short(err))
		return
	}
	if a.date.IsZero() {
		d.warn(about, "", "its answer has no Date")
		return
	}
	d.judgeClock(about, a.date.Sub(asked.Truncate(time.Second)))
}

func (d *doctor) judgeClock(about string, apart time.Duration) {
	const do = "let both machines follow NTP (chrony), and look again"
	switch {
	case apart.Abs() > clockFails:
		d.fail(about, do, "%v from this machine's", apart)
	case apart.Abs() > clockWarns:
		d.warn(about, do, "%v from this machine's", apart)
	default:
		d.ok(about, "as this machine's, to the second")
	}
}
