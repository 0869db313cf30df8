package vitalsign

// Sign is one row of the table of signs. The fields of one sign share a unit.
type Sign struct {
	// Name is the sign's field in the proto message and in JSON.
	Name string
	// Short begins the ids of the rules that are about this sign alone.
	Short            string
	English, Chinese string
	// LOINC codes the whole observation: a panel if there are several fields.
	LOINC string
	// Fields are the numbers of the sign.
	Fields []Field
	// Units are what a caller may send. The first is the canonical one. A sign
	// with a single, nameless unit has no unit field.
	Units []Unit
	// Mistaken are units that nobody may send, but that devices and people do
	// use: a value possible only in one of them is refused with a hint at it.
	Mistaken []Unit
	// Places is the number of decimals of the canonical value, rounded
	// half-even; AsEntered keeps those that came.
	Places int32
	// History compares with the previous value; nil does not.
	History *History
}

// AsEntered, as Places of a sign, keeps the decimals that were entered.
const AsEntered = -1

// Field is one number of a sign.
type Field struct {
	Name             string // below the sign in the message
	LOINC            string
	English, Chinese string
	Integer          bool // the typed field beside the text is an int32
}

// Unit is a unit with its exact conversion to the canonical one:
// canonical = (entered + Offset) x Num / Den. An empty Num or Den is 1.
type Unit struct {
	Name     string // of the enum value; empty for a fixed unit
	UCUM     string
	Offset   int64
	Num, Den string
}

// History says what change since the previous value asks for confirmation.
type History struct {
	// ChangePercent of the previous value within Days is the largest usual
	// change, either way.
	ChangePercent, Days int64
	// UnitRatio is the factor between two units of the sign that are mixed up.
	// A value within 5 % of that factor or its inverse, times the previous
	// value, is suspected of being in the other unit, however long ago the
	// previous one was.
	UnitRatio string
}

// signs is the table. A change of a number here changes the rules: raise the
// rule_version in limits.tsv with it.
//
// Canonical kilograms have four decimals: 0.1 g is finer than any scale for
// people, and a weight in pounds with up to three decimals (0.001 lb is 0.45 g)
// comes back from it unchanged. Canonical Celsius have two, because with one
// decimal 156 of the 351 values from 80.0 to 115.0 degrees Fahrenheit would not
// come back.
var signs = []Sign{
	{
		Name: "blood_pressure", Short: "bp", English: "blood pressure", Chinese: "血压", LOINC: "85354-9",
		Fields: []Field{
			{Name: "systolic", LOINC: "8480-6", English: "systolic blood pressure", Chinese: "收缩压", Integer: true},
			{Name: "diastolic", LOINC: "8462-4", English: "diastolic blood pressure", Chinese: "舒张压", Integer: true},
		},
		Units: []Unit{{UCUM: "mm[Hg]"}},
		// UCUM defines m[Hg] as 133.3220 kPa.
		Mistaken: []Unit{{Name: "kPa", UCUM: "kPa", Num: "1000", Den: "133.322"}},
		Places:   AsEntered,
	},
	{
		Name: "temperature", Short: "temp", English: "body temperature", Chinese: "体温", LOINC: "8310-5",
		Fields: []Field{{Name: "value", LOINC: "8310-5", English: "body temperature", Chinese: "体温"}},
		Units: []Unit{
			{Name: "CELSIUS", UCUM: "Cel"},
			{Name: "FAHRENHEIT", UCUM: "[degF]", Offset: -32, Num: "5", Den: "9"},
		},
		Places: 2,
	},
	{
		Name: "heart_rate", Short: "hr", English: "heart rate", Chinese: "心率", LOINC: "8867-4",
		Fields: []Field{{Name: "beats_per_minute", LOINC: "8867-4", English: "heart rate", Chinese: "心率", Integer: true}},
		Units:  []Unit{{UCUM: "/min"}},
		Places: AsEntered,
	},
	{
		Name: "respiratory_rate", Short: "rr", English: "respiratory rate", Chinese: "呼吸频率", LOINC: "9279-1",
		Fields: []Field{{Name: "breaths_per_minute", LOINC: "9279-1", English: "respiratory rate", Chinese: "呼吸频率", Integer: true}},
		Units:  []Unit{{UCUM: "/min"}},
		Places: AsEntered,
	},
	{
		Name: "oxygen_saturation", Short: "spo2", English: "oxygen saturation", Chinese: "血氧饱和度", LOINC: "2708-6",
		Fields:   []Field{{Name: "percent", LOINC: "2708-6", English: "oxygen saturation", Chinese: "血氧饱和度"}},
		Units:    []Unit{{UCUM: "%"}},
		Mistaken: []Unit{{Name: "a fraction of 1", UCUM: "1", Num: "100"}},
		Places:   AsEntered,
	},
	{
		Name: "body_weight", Short: "weight", English: "body weight", Chinese: "体重", LOINC: "29463-7",
		Fields: []Field{{Name: "value", LOINC: "29463-7", English: "body weight", Chinese: "体重"}},
		Units: []Unit{
			{Name: "KILOGRAM", UCUM: "kg"},
			{Name: "GRAM", UCUM: "g", Den: "1000"},
			{Name: "POUND", UCUM: "[lb_av]", Num: "0.45359237"},
		},
		Places:  4,
		History: &History{ChangePercent: 10, Days: 30, UnitRatio: "2.2046"},
	},
}

// Signs gives a copy of the table of signs, in its order. It is for those who
// must agree with it: contracts, exports, pages.
func Signs() []Sign {
	out := make([]Sign, len(signs))
	for i, s := range signs {
		s.Fields = append([]Field(nil), s.Fields...)
		s.Units = append([]Unit(nil), s.Units...)
		s.Mistaken = append([]Unit(nil), s.Mistaken...)
		if s.History != nil {
			h := *s.History
			s.History = &h
		}
		out[i] = s
	}
	return out
}
