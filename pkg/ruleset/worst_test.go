package ruleset_test

import (
	"fmt"
	"strings"
	"testing"

	"torikumi/pkg/ruleset"
)

// largeTexts are the dearest of the largest texts; all but "rules" are wrong.
func largeTexts() map[string]string {
	var steps []string
	for i := range ruleset.MaxStages - 1 {
		steps = append(steps, fmt.Sprintf(`{"waitTimeSeconds": %d, "value": 9}`, i+1))
	}
	expansions := expanded(`"rules[Close].maxDistance"`, "["+strings.Join(steps, ",")+"]")
	many := func(format string) string {
		var list []string
		for n, i := 0, 0; n < 55_000; i++ {
			list = append(list, fmt.Sprintf(format, i))
			n += len(list[i]) + 1
		}
		return strings.Join(list, ",")
	}
	rule := `[{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},`
	texts := make(map[string]string)
	for name, others := range map[string]map[string]string{
		"rules":      {"rules": rule + many(`{"name":"r%d","type":"latency","maxLatency":1}`) + "]"},
		"names":      {"rules": rule + many(`{"name":"r%d","type":"batchDistance","batchAttribute":"skil"}`) + "]"},
		"properties": {"rules": rule + `{"name": "A", ` + many(`"maxDistence%d":1`) + "}]"},
		"numbers":    {"rules": rule + `{"name": "A", "type": "custom", "rule": [` + many(`%d`) + `]}]`},
		"attributes": {"playerAttributes": `[{"name":"skill","type":"number"},` + many(`{"name":"skill%d","type":"nummber"}`) + "]", "rules": rule[:len(rule)-1] + "]"},
	} {
		others["expansions"] = expansions
		texts[name] = write(others)
	}
	return texts
}

// TestLargeTexts reads them; BenchmarkLargeTexts says how long that takes.
func TestLargeTexts(t *testing.T) {
	for name, text := range largeTexts() {
		t.Run(name, func(t *testing.T) {
			if len(text) > ruleset.MaxCharacters {
				t.Fatalf("%d characters", len(text))
			}
			if _, err := ruleset.Parse([]byte(text)); (err == nil) != (name == "rules") {
				t.Errorf("%.300v", err)
			}
		})
	}
}

func BenchmarkLargeTexts(b *testing.B) {
	for name, text := range largeTexts() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = ruleset.Parse([]byte(text)) // see TestLargeTexts
			}
		})
	}
}

// TestDeepTexts reads what nests as deep as there are characters.
func TestDeepTexts(t *testing.T) {
	const half = ruleset.MaxCharacters / 2
	for name, text := range map[string]string{
		"open lists":   strings.Repeat("[", ruleset.MaxCharacters),
		"lists":        strings.Repeat("[", half) + strings.Repeat("]", half),
		"open objects": strings.Repeat(`{"":`, ruleset.MaxCharacters/4),
		"lines":        strings.Repeat("\n", ruleset.MaxCharacters),
		"calls":        write(map[string]string{"rules": measured(strings.Repeat("avg(", 15_000))}),
		"statement":    write(map[string]string{"rules": stated(strings.Repeat("not(", 15_000))}),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ruleset.Parse([]byte(text)); err == nil {
				t.Error("no error")
			}
		})
	}
}
