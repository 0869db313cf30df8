package vitalsign

// judgeRates queries a heart that beats more slowly than its owner breathes:
// the two numbers stand side by side on every form and monitor, and are
// typed into each other's field.
func (j *judge) judgeRates() {
	const pathHeart, pathBreath = "heart_rate.beats_per_minute", "respiratory_rate.breaths_per_minute"
	heart, breath := j.number(pathHeart), j.number(pathBreath)
	if heart != nil && breath != nil && heart.Cmp(breath) < 0 {
		j.Query(RuleRatesInterchanged, messageRates, pathHeart, pathBreath)
	}
}
