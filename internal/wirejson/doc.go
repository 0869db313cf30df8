// Package wirejson turns JSON bodies into protobuf messages and back, the way
// the HTTP API promises it: field names as in the .proto files, times as
// RFC 3339, enums by name, numbers as JSON numbers. protojson is not enough
// here: it accepts what a clinical API must refuse (unknown enum numbers,
// camelCase aliases, numbers in strings), stops at the first problem, cannot
// keep the decimal text of a number, and shuffles its spaces on purpose.
//
// [Decode] is strict and names every problem at its path. It keeps source values
// by the convention of internal/sourcevalue: the literal of a number X goes
// verbatim into X_entered, the text of a time into its text field. Call
// sourcevalue.Complete after it, which derives what did not fit the type.
//
// [Encode] is deterministic. The same message gives the same bytes, in every
// process and in every release: content hashes are made of them, so that changing
// the form of the output makes resent records look new. The golden tests of this
// package hold the form; a change there is a change of stored data.
//
// Messages of google.protobuf other than Timestamp have no special form: they
// are the fields that their .proto declares.
package wirejson
