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

// Claims are a payload whose signature has been checked. Numbers are json.Number.
type Claims map[string]any

// Text returns a claim that must be a string, or "" if it is absent or is not
// one.
func (c Claims) Text(name string) string {
	s, _ := c[name].(string)
	return s
}

// seconds returns a claim that must be a NumericDate of whole seconds.
func (c Claims) seconds(name string) (time.Time, error) {
	t, present, err := c.Date(name)
	if err != nil {
		return time.Time{}, err
	}
	if !present {
		return time.Time{}, Refuse(ReasonMissingClaim, "%s is missing", name)
	}
	if t.Nanosecond() != 0 {
		return time.Time{}, Refuse(ReasonBadClaim, "%s is not whole seconds", name)
	}
	return t, nil
}

// Date returns a claim that, if it is there, must be a NumericDate of RFC 7519,
// which may have a fraction.
func (c Claims) Date(name string) (t time.Time, present bool, err error) {
	value, present := c[name]
	if !present {
		return time.Time{}, false, nil
	}
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, true, Refuse(ReasonBadClaim, "%s is not a number", name)
	}
	if n, err := strconv.ParseInt(number.String(), 10, 64); err == nil && n >= 0 && n <= lastSecond {
		return time.Unix(n, 0).UTC(), true, nil
	}
	f, err := number.Float64()
	if err != nil || f < 0 || f > lastSecond {
		return time.Time{}, true, Refuse(ReasonBadClaim, "%s is not a time", name)
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true, nil
}
