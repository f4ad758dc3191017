package fake

import (
	"regexp"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
)

// term is one comparison of a filter: (field = "value").
var term = regexp.MustCompile(`^\s*\(?\s*([a-zA-Z][a-zA-Z0-9_.-]*)\s*(=|!=)\s*"([^"]*)"\s*\)?`)

// filter reads the part of AIP-160 that is used: comparisons of fields with
// quoted values, one behind the other. An unknown field matches nothing.
func filter(text string) (func(field func(string) string) bool, *Reply) {
	type comparison struct {
		field, value string
		equal        bool
	}
	var all []comparison
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := term.FindStringSubmatch(rest)
		if m == nil {
			return nil, invalid("filter", "'%s'. Invalid list filter expression.", text)
		}
		all = append(all, comparison{m[1], m[3], m[2] == "="})
		rest = rest[len(m[0]):]
	}
	return func(field func(string) string) bool {
		for _, c := range all {
			if (field(c.field) == c.value) != c.equal {
				return false
			}
		}
		return true
	}, nil
}

func instanceField(m *computepb.Instance) func(string) string {
	return func(name string) string {
		if label, ok := strings.CutPrefix(name, "labels."); ok {
			return m.GetLabels()[label]
		}
		switch name {
		case "name":
			return m.GetName()
		case "status":
			return m.GetStatus()
		}
		return "\x00"
	}
}

func operationField(o *computepb.Operation) func(string) string {
	return func(name string) string {
		switch name {
		case "name":
			return o.GetName()
		case "status":
			return o.GetStatus().String()
		case "operationType":
			return o.GetOperationType()
		case "clientOperationId":
			return o.GetClientOperationId()
		case "targetLink":
			return o.GetTargetLink()
		}
		return "\x00"
	}
}
