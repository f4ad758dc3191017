package token

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// lastSecond is the end of the year 9999: what later times would mean differs
// from language to language.
const lastSecond = 253402300799

// claimSet is a payload whose signature has been checked.
type claimSet map[string]any

// text returns a claim that must be a string, or "" if it is absent or is not
// one.
func (c claimSet) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// seconds returns a claim that must be a NumericDate of whole seconds.
func (c claimSet) seconds(name string) (time.Time, error) {
	t, present, err := c.date(name)
	if err != nil {
		return time.Time{}, err
	}
	if !present {
		return time.Time{}, refuse(ReasonMissingClaim, "%s is missing", name)
	}
	if t.Nanosecond() != 0 {
		return time.Time{}, refuse(ReasonBadClaim, "%s is not whole seconds", name)
	}
	return t, nil
}

// date returns a claim that, if it is there, must be a NumericDate of RFC 7519,
// which may have a fraction.
func (c claimSet) date(name string) (t time.Time, present bool, err error) {
	value, present := c[name]
	if !present {
		return time.Time{}, false, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, true, refuse(ReasonBadClaim, "%s is not a number", name)
	}
	if n, err := strconv.ParseInt(number.String(), 10, 64); err == nil && n >= 0 && n <= lastSecond {
		return time.Unix(n, 0).UTC(), true, nil
	}
	f, err := number.Float64()
	if err != nil || f < 0 || f > lastSecond {
		return time.Time{}, true, refuse(ReasonBadClaim, "%s is not a time", name)
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true, nil
}

// audience returns aud, which may be one string or a list of them.
func (c claimSet) audience() []string {
	switch aud := c["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, v := range aud {
			s, ok := v.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	return nil
}
