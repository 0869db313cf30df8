package fault

// Violation names one offending field of a request: the path as the caller
// wrote it (blood_pressure.systolic, measurements[2].value), the stable rule id
// and a sentence that says the rule and the way out. It never holds the value.
type Violation struct {
	Field   string
	Rule    string
	Message string
}
