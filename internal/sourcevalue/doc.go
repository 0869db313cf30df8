// Package sourcevalue keeps what a source entered beside what the program
// computes with. A cuff says 100.67 mmHg and the contract's field is an int32:
// the record then holds systolic = 101, systolic_entered = "100.67" and
// systolic_rounded = true, so that nobody mistakes the derived number for the
// source. The same holds for times: a google.protobuf.Timestamp orders records,
// its text keeps the offset that the source wrote.
//
// The convention is in the names, so that a message follows it by declaring the
// fields (all of them optional):
//
//	int32  systolic          = 1;  // X: int32/64, uint32/64, float or double
//	string systolic_entered  = 4;  // the decimal text as it came
//	bool   systolic_rounded  = 5;  // X is not the number that the text says
//
//	google.protobuf.Timestamp start_time = 6;  // T
//	string start_time_text               = 7;  // RFC 3339 with offset as it came
//
// A message may call the text of its one source time source_time_text instead;
// it belongs to the Timestamp with the lowest field number whose name ends in
// _time, is not received_time and has no _text field of its own.
//
// [Complete] fills in whichever half is missing and refuses halves that
// contradict each other. Every service calls it on each request before its
// domain rules, so that a caller may send either half, over gRPC or JSON.
package sourcevalue
