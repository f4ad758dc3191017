// Package redact takes secrets out of what a cloud says, before an operator
// reads it in a log or a status.
package redact

import (
	"encoding/json"
	"regexp"
	"strings"
)

const (
	longest = 500
	chunk   = 32
)

// token is a Kubernetes bootstrap token.
var token = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)

// Script makes a function that takes a startup script, its lines and tokens out
// of a text, as they are or as JSON has them.
func Script(secret string) func(string) string {
	var pairs []string
	seen := make(map[string]bool)
	hide := func(text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			return
		}
		for _, form := range []string{text, string(quoted[1 : len(quoted)-1])} {
			if !seen[form] {
				seen[form] = true
				pairs = append(pairs, form, "[startup script]")
			}
		}
	}
	if secret != "" {
		hide(secret)
	}
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) > 8 {
			hide(line)
		}
		for len(line) > chunk { // what is cut out of a long line
			hide(line[:chunk])
			line = line[chunk:]
		}
	}
	all := strings.NewReplacer(pairs...)
	return func(text string) string { return token.ReplaceAllString(all.Replace(text), "[token]") }
}

// Short makes one line of a text, of at most 500 bytes and an ellipsis.
func Short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
