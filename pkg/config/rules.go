package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule is what a tag asks of a setting's value.
type rule struct {
	text string // "at least 1"
	says string // "must be at least 1"
	// Of the two the one is set that the setting's type needs.
	number func(float64) bool
	word   func(string) bool
}

// parseRule reads a rule tag for a setting of the given type.
func parseRule(text string, t reflect.Type) (*rule, error) {
	r := &rule{text: text, says: "must be " + text}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		r.number = bounds(text, t == reflect.TypeFor[time.Duration]())
	case reflect.Float64:
		r.number = bounds(text, false)
	case reflect.String, reflect.Slice:
		r.word = form(text)
	}
	switch text {
	case "not negative":
		r.says = "must not be negative"
	case "listen":
		r.text, r.says = "host:port", "must be host:port"
	case "IP address":
		r.says = "must be an IP address"
	case "url":
		r.text, r.says = "absolute http or https URL", "must be an absolute http or https URL"
	}
	if r.number == nil && r.word == nil {
		return nil, fmt.Errorf("%q is no rule for a %s", text, t)
	}
	return r, nil
}

// longer writes a rule with the words of bound.
var longer = strings.NewReplacer("positive", "above 0", "not negative", "at least 0", "from ", "at least ", " to ", " and at most ")

var bound = regexp.MustCompile(`^(above|at least|at most) (\S+)$`)

// bounds reads a rule for a number, nil if it is none. No bound lets NaN pass.
func bounds(text string, durations bool) func(float64) bool {
	var all []func(float64) bool
	for part := range strings.SplitSeq(longer.Replace(text), " and ") {
		m := bound.FindStringSubmatch(part)
		if m == nil {
			return nil
		}
		limit, err := strconv.ParseFloat(m[2], 64)
		if durations {
			var d time.Duration
			d, err = time.ParseDuration(m[2])
			limit = float64(d)
		}
		if err != nil {
			return nil
		}
		all = append(all, map[string]func(float64) bool{
			"above":    func(v float64) bool { return v > limit },
			"at least": func(v float64) bool { return v >= limit },
			"at most":  func(v float64) bool { return v <= limit },
		}[m[1]])
	}
	return func(v float64) bool {
		return !slices.ContainsFunc(all, func(holds func(float64) bool) bool { return !holds(v) })
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$`)

// IsHost reports whether s has the form of an IP address, without brackets and without a zone,
// which neither URLs nor gRPC's targets take as it is, or of a machine's name.
func IsHost(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Zone() == "" || hostName.MatchString(s)
}

// form reads a rule for a text, nil if it is none.
func form(text string) func(string) bool {
	switch text {
	case "host:port":
		return func(s string) bool {
			host, port, err := net.SplitHostPort(s)
			n, portErr := strconv.ParseUint(port, 10, 16)
			return err == nil && portErr == nil && IsHost(host) && n > 0
		}
	case "listen":
		return func(s string) bool {
			host, port, err := net.SplitHostPort(s)
			_, portErr := strconv.ParseUint(port, 10, 16)
			return err == nil && portErr == nil && !strings.Contains(host, " ")
		}
	case "IP address":
		return func(s string) bool { return net.ParseIP(s) != nil }
	case "url":
		return func(s string) bool {
			u, err := url.Parse(s)
			return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
		}
	}
	if rest, last, ok := strings.Cut(text, " or "); ok {
		words := append(strings.Split(rest, ", "), last)
		return func(s string) bool {
			return slices.ContainsFunc(words, func(word string) bool {
				if f := form(word); f != nil {
					return f(s)
				}
				return s == word
			})
		}
	}
	return nil
}

// check returns the errors of a setting that breaks the rules of its tags.
func (s *setting) check() []error {
	words := []string{s.value.String()}
	switch s.value.Kind() {
	case reflect.Slice:
		words, _ = s.value.Interface().([]string)
	case reflect.String:
		if words[0] == "" {
			words = nil
		}
	}
	if s.required != "" && len(words) == 0 {
		return []error{Missing(s.name, s.required)}
	}
	if s.rule == nil {
		return nil
	}
	if s.rule.number != nil {
		if v := s.value.Convert(reflect.TypeFor[float64]()).Float(); !s.rule.number(v) {
			return []error{s.invalid(s.value.Interface())}
		}
		return nil
	}
	if len(words) == 0 && s.def != "" {
		words = []string{""}
	}
	var errs []error
	for _, w := range words {
		if !s.rule.word(w) {
			errs = append(errs, s.breaks(s.rule.saysOf(w), w))
		}
	}
	return errs
}

// saysOf is what a rule says of a word that breaks it, with the zone if that is all that is wrong.
func (r *rule) saysOf(word string) string {
	host, port, err := net.SplitHostPort(word)
	addr, addrErr := netip.ParseAddr(host)
	if err == nil && addrErr == nil && addr.Zone() != "" && r.word(net.JoinHostPort(addr.WithZone("").String(), port)) {
		return r.says + ", without an IPv6 zone"
	}
	return r.says
}

func (s *setting) invalid(value any) error { return s.breaks(s.rule.says, value) }

func (s *setting) breaks(says string, value any) error {
	if s.secret {
		return &Error{Setting: "--" + s.name, Rule: says}
	}
	return Invalid(s.name, says, value)
}
