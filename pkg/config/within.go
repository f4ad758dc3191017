package config

import (
	"errors"
	"fmt"
	"strings"
)

// Within says in what an error is, a setting or a file: for each of a joined error, as each
// has a line of its own.
func Within(where string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		var lines []string
		for _, e := range joined.Unwrap() {
			all, lines = append(all, Within(where, e)), append(lines, e.Error())
		}
		if err.Error() == strings.Join(lines, "\n") { // else it has words of its own
			return errors.Join(all...)
		}
	}
	return fmt.Errorf("%s: %w", where, err)
}
