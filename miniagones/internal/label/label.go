// Package label knows which labels and annotations Kubernetes accepts on an
// object, so that what miniagones takes a cluster takes too. On the
// player's path these carry the match that a game server was allocated for.
package label

import (
	"fmt"
	"regexp"
	"strings"
)

// MaxAnnotations is how many bytes the keys and values of all annotations of
// an object may have together.
const MaxAnnotations = 256 << 10

var (
	name      = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// CheckKey returns an error that states the rule if key can't be the key of a
// label: an optional DNS subdomain of at most 253 characters and a slash, then
// 1 to 63 characters of [A-Za-z0-9_.-], the first and the last alphanumeric.
func CheckKey(key string) error {
	prefix, rest, found := strings.Cut(key, "/")
	if !found {
		rest = key
	} else if len(prefix) > 253 || !subdomain.MatchString(prefix) {
		return fmt.Errorf("key %.80q: the part before the slash must be a lower-case DNS subdomain of 1 to 253 characters", key)
	}
	if len(rest) > 63 || !name.MatchString(rest) {
		return fmt.Errorf("key %.80q: the name must be 1 to 63 characters of [A-Za-z0-9_.-], the first and the last alphanumeric", key)
	}
	return nil
}

// CheckValue returns an error that states the rule if value can't be the value
// of a label: empty, or 1 to 63 characters like the name of a key.
func CheckValue(value string) error {
	if value == "" || len(value) <= 63 && name.MatchString(value) {
		return nil
	}
	return fmt.Errorf("value %.80q: must be empty or 1 to 63 characters of [A-Za-z0-9_.-], the first and the last alphanumeric", value)
}

// CheckLabels checks keys and values; the error names the first bad key.
func CheckLabels(labels map[string]string) error {
	for k, v := range labels {
		if err := CheckKey(k); err != nil {
			return err
		}
		if err := CheckValue(v); err != nil {
			return fmt.Errorf("key %q: %w", k, err)
		}
	}
	return nil
}

// CheckAnnotations checks the keys, for which upper case counts as lower, and
// the size of all together.
func CheckAnnotations(annotations map[string]string) error {
	size := 0
	for k, v := range annotations {
		if err := CheckKey(strings.ToLower(k)); err != nil {
			return err
		}
		size += len(k) + len(v)
	}
	if size > MaxAnnotations {
		return fmt.Errorf("all annotations together have %d bytes, %d are allowed", size, MaxAnnotations)
	}
	return nil
}
