// Package auditlog is the audit trail as a transparency log: how a row becomes a
// leaf, how heads of trees become a signed checkpoint, and how anyone who has an
// export and a public key finds out whether all is as it was written. It knows no
// database and no network; package audit keeps the log, this package says what it
// is, so that a verification needs nothing that a service has.
//
// A row's leaf is a commitment: the RFC 6962 hash of the row's canonical text,
// which begins with a random salt, so that a leaf alone tells nothing about the row
// and rows that a reader may not see can be verified as leaves. docs/audit.md is
// the description for an inspector who writes a verifier of their own.
package auditlog

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Row is one event as it is kept: every column but the database's own number.
type Row struct {
	Lane      int64  `json:"lane"` // Whose sequence it lies in.
	Index     int64  `json:"idx"`  // Its place there, from 0.
	At        int64  `json:"at_us"`
	Actor     string `json:"actor"`      // Who: the token's subject; empty: the process itself.
	Role      string `json:"role"`       // The role that allowed it.
	Peer      string `json:"peer"`       // The process that called, on the actor's behalf.
	Source    string `json:"source"`     // Where refused callers came from.
	RequestID string `json:"request_id"` // Ties it to the answer and the log lines.
	Method    string `json:"method"`     // The RPC.
	Action    string `json:"action"`
	Kind      string `json:"kind"`
	Project   string `json:"project_id"`
	Site      string `json:"site_id"`
	Patient   string `json:"patient_id"`
	Record    string `json:"record_id"`
	Version   int64  `json:"version"`
	Records   int64  `json:"records"` // How many were read, or refused.
	Fields    string `json:"fields"`  // Paths that an amendment changed, one a line.
	Digest    string `json:"digest"`  // SHA-256 of the version that it is about.
	Outcome   string `json:"outcome"` // Empty: done; else the reason of the refusal.
	Salt      string `json:"salt"`
	Leaf      string `json:"leaf"`
}

// NewSalt makes the 16 random bytes that hide a row behind its leaf.
func NewSalt() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails: the program would have ended.
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// Canonical is the text that a row's leaf commits to: a line per column, each with
// the length of its value in bytes, so that no two rows have the same text.
func (r *Row) Canonical() []byte {
	b := make([]byte, 0, 640)
	b = append(b, "clinsource audit row 1\n"...)
	b = line(b, "salt", r.Salt)
	b = number(b, "lane", r.Lane)
	b = number(b, "idx", r.Index)
	b = number(b, "at_us", r.At)
	b = line(b, "actor", r.Actor)
	b = line(b, "role", r.Role)
	b = line(b, "peer", r.Peer)
	b = line(b, "source", r.Source)
	b = line(b, "request_id", r.RequestID)
	b = line(b, "method", r.Method)
	b = line(b, "action", r.Action)
	b = line(b, "kind", r.Kind)
	b = line(b, "project_id", r.Project)
	b = line(b, "site_id", r.Site)
	b = line(b, "patient_id", r.Patient)
	b = line(b, "record_id", r.Record)
	b = number(b, "version", r.Version)
	b = number(b, "records", r.Records)
	b = line(b, "fields", r.Fields)
	b = line(b, "digest", r.Digest)
	return line(b, "outcome", r.Outcome)
}

func line(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, '=')
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = append(b, ':')
	b = append(b, value...)
	return append(b, '\n')
}

func number(b []byte, name string, value int64) []byte {
	var digits [20]byte
	return line(b, name, string(strconv.AppendInt(digits[:0], value, 10)))
}

// Hash is the leaf that the row must have.
func (r *Row) Hash() tlog.Hash { return tlog.RecordHash(r.Canonical()) }
