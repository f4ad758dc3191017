//go:build unix

package gameservers

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pluginFlags compile the plugin against the stubs of the engine's headers, with what the
// engine's header tool would generate left empty.
func pluginFlags(t *testing.T) (flags, files []string) {
	t.Helper()
	source := filepath.Join(unreal, "Torikumi", "Source", "Torikumi")
	generated := t.TempDir()
	headers, err := filepath.Glob(filepath.Join(source, "Public", "*.h"))
	if err != nil || len(headers) == 0 {
		t.Fatalf("no headers: %v", err)
	}
	for _, h := range headers {
		name := strings.TrimSuffix(filepath.Base(h), ".h") + ".generated.h"
		if err := os.WriteFile(filepath.Join(generated, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{"*.cpp", "Core/*.cpp"} {
		some, err := filepath.Glob(filepath.Join(source, "Private", pattern))
		if err != nil || len(some) == 0 {
			t.Fatalf("%s: no sources: %v", pattern, err)
		}
		files = append(files, some...)
	}
	flags = []string{"-std=c++17", "-fno-exceptions"}
	for _, dir := range []string{filepath.Join(unreal, "stubs"), generated, filepath.Join(source, "Public"), filepath.Join(source, "Private")} {
		flags = append(flags, "-I", dir)
	}
	return flags, files
}

// TestUnrealPluginCompiles: against declarations that were written from the engine's
// reference, which is all that can be had without the engine.
func TestUnrealPluginCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	need(t, "g++", "g++")
	flags, files := pluginFlags(t)
	for _, f := range files {
		build(t, "g++", append(append([]string{"-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-fsyntax-only"}, flags...), f)...)
	}
}

// TestUnrealTidy lets the analyzer look at all of it.
func TestUnrealTidy(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("takes a minute: set CI to run it")
	}
	need(t, "clang-tidy", "clang-tidy")
	flags, files := pluginFlags(t)
	const checks = "-*,bugprone-*,clang-analyzer-*,performance-*,-bugprone-easily-swappable-parameters"
	args := append([]string{"--quiet", "--checks=" + checks, "--warnings-as-errors=*"}, files...)
	cmd := exec.CommandContext(t.Context(), "clang-tidy", append(append(args, "--"), flags...)...)
	if out, err := cmd.Output(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestUnrealStubs: each header says which pages it was written from.
func TestUnrealStubs(t *testing.T) {
	found := 0
	err := filepath.WalkDir(filepath.Join(unreal, "stubs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), "https://dev.epicgames.com/documentation/") {
			t.Errorf("%s names no page", path)
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d headers, %v", found, err)
	}
}

// TestUnrealJSON holds Core's reader against Go's: what either takes the other takes, and
// reads alike.
func TestUnrealJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	need(t, "g++", "g++")
	program := filepath.Join(t.TempDir(), "json")
	core := filepath.Join(unreal, "Torikumi", "Source", "Torikumi", "Private", "Core", "Json.cpp")
	args := append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"}, warnings...)
	build(t, "g++", append(args, core, filepath.Join(unreal, "test", "json.cpp"), "-o", program)...)
	documents := mutated([]string{
		`{"x":"a","n":1}`, `{"x":"\"\\\/\b\f\n\r\tä\u00e4\ud83d\ude00","n":-1.5e+3}`, `{}`, `[]`, `[1,[2,{"x":null}],true,false]`,
		` { "x" : "" , "n" : 0.0 } `, `"x"`, `null`, `-0`, `{"x":{"x":"y"},"n":[]}`, `{"x":"a","x":"b"}`, `[[[[[[[[[[]]]]]]]]]]`,
		`{"id":"NMUM","state":"SEARCHING","players":[{"id":"ann"}],"reason":"12 \"others\""}`,
	}, 20000)
	var in strings.Builder
	for _, d := range documents {
		in.WriteString(hex.EncodeToString([]byte(d)) + "\n")
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Stdin, cmd.Stderr = strings.NewReader(in.String()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(answers) != len(documents) {
		t.Fatalf("%d answers for %d documents", len(answers), len(documents))
	}
	for i, d := range documents {
		if want := goReads(d); answers[i] != want {
			t.Errorf("%q: %s, want %s", d, answers[i], want)
		}
	}
}

// wholeSurrogates reports whether each escaped half of a surrogate pair has its other
// half. To Core anything else is an error; Go repairs it.
func wholeSurrogates(document string) bool {
	for i := 0; i < len(document); i++ {
		if document[i] != '\\' {
			continue
		}
		i++
		code, ok := escape(document, i)
		switch {
		case !ok || code < 0xd800 || code > 0xdfff:
			continue
		case code >= 0xdc00:
			return false
		}
		low, ok := escape(document, i+6)
		if document[min(i+5, len(document)-1)] != '\\' || !ok || low < 0xdc00 || low > 0xdfff {
			return false
		}
		i += 10
	}
	return true
}

// escape reads uXXXX.
func escape(document string, at int) (uint64, bool) {
	if at+5 > len(document) || document[at] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(document[at+1:at+5], 16, 32)
	return code, err == nil
}

// repeats reports whether an object has a member twice.
func repeats(d *json.Decoder) bool {
	t, err := d.Token()
	if err != nil {
		return false
	}
	seen := map[any]bool{}
	switch t {
	case json.Delim('{'):
		for d.More() {
			name, _ := d.Token()
			if seen[name] || repeats(d) {
				return true
			}
			seen[name] = true
		}
		_, _ = d.Token()
	case json.Delim('['):
		for d.More() {
			if repeats(d) {
				return true
			}
		}
		_, _ = d.Token()
	}
	return false
}

func goReads(document string) string {
	if !json.Valid([]byte(document)) || !wholeSurrogates(document) || repeats(json.NewDecoder(strings.NewReader(document))) {
		return "no"
	}
	var members map[string]any
	_ = json.Unmarshal([]byte(document), &members) // of others than objects there are none
	text, _ := members["x"].(string)
	number, ok := members["n"].(float64)
	if !ok {
		number = -1
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			quoted.WriteByte('\\')
			quoted.WriteByte(c)
		case c < 0x20:
			fmt.Fprintf(&quoted, `\u%04x`, c)
		default:
			quoted.WriteByte(c)
		}
	}
	return fmt.Sprintf("yes %s\" %s", &quoted, strings.TrimSpace(fmt.Sprintf("%.17g", number)))
}

// mutated adds documents with characters left out, doubled and put in.
func mutated(seeds []string, n int) []string {
	rnd := rand.New(rand.NewPCG(1, 2))
	const alphabet = "{}[]\":,\\ut0123456789.eE+- \nxnfalsr"
	all := append([]string{}, seeds...)
	for range n {
		b := []byte(seeds[rnd.IntN(len(seeds))])
		for range 1 + rnd.IntN(3) {
			at := rnd.IntN(len(b) + 1)
			switch rnd.IntN(3) {
			case 0:
				if at < len(b) {
					b = append(b[:at:at], b[at+1:]...)
				}
			case 1:
				b = append(b[:at:at], append([]byte{alphabet[rnd.IntN(len(alphabet))]}, b[at:]...)...)
			case 2:
				if at < len(b) {
					b[at] = alphabet[rnd.IntN(len(alphabet))]
				}
			}
		}
		if d := string(b); strings.ToValidUTF8(d, "") == d {
			all = append(all, d)
		}
	}
	return all
}
