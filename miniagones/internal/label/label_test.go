package label_test

import (
	"strings"
	"testing"

	"torikumi/miniagones/internal/label"
)

func TestKeys(t *testing.T) {
	for key, ok := range map[string]bool{
		"a": true, "A9": true, "a.b_c-d": true, strings.Repeat("x", 63): true,
		"torikumi/match": true, "agones.dev/sdk-map": true, "a.b-c.d/X": true,
		strings.Repeat("x", 253) + "/a": true,
		"":                              false, "-a": false, "a-": false, "a b": false, "a:b": false, "ä": false, "a\n": false,
		strings.Repeat("x", 64): false, "/a": false, "a/": false, "a/b/c": false,
		"A/b": false, "-a/b": false, "a-/b": false, "a..b/c": false, ".a/b": false, "a_b/c": false,
		strings.Repeat("x", 254) + "/a": false,
	} {
		if err := label.CheckKey(key); (err == nil) != ok {
			t.Errorf("key %.80q: %v", key, err)
		}
	}
}

func TestValues(t *testing.T) {
	for value, ok := range map[string]bool{
		"": true, "a": true, "9": true, "a.b_c-D": true, strings.Repeat("x", 63): true,
		"-a": false, "a-": false, ".": false, "a b": false, "a:b": false, "a/b": false, "a\n": false, "é": false,
		strings.Repeat("x", 64): false,
	} {
		if err := label.CheckValue(value); (err == nil) != ok {
			t.Errorf("value %.80q: %v", value, err)
		}
	}
}

func TestCheckLabels(t *testing.T) {
	if err := label.CheckLabels(map[string]string{"good": "fine", "torikumi/match": "a:b"}); err == nil || !strings.Contains(err.Error(), "torikumi/match") {
		t.Errorf("got %v, want an error that names the key", err)
	}
	if err := label.CheckLabels(nil); err != nil {
		t.Error(err)
	}
}

func TestAnnotations(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		ok          bool
	}{
		"any value":      {map[string]string{"torikumi/roster": `{"a": "ü:\n"}`}, true},
		"upper case":     {map[string]string{"Torikumi/Roster": ""}, true},
		"bad key":        {map[string]string{"a b": ""}, false},
		"just fits":      {map[string]string{"k": strings.Repeat("x", label.MaxAnnotations-1)}, true},
		"does not fit":   {map[string]string{"k": strings.Repeat("x", label.MaxAnnotations)}, false},
		"several do not": {map[string]string{"k": strings.Repeat("x", label.MaxAnnotations/2), "l": strings.Repeat("x", label.MaxAnnotations/2)}, false},
	} {
		if err := label.CheckAnnotations(c.annotations); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzKey compares with the rule said in another way.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"a", "a/b", "a.b/c", "-", "a/b/c", "A/b", "\xff"} {
		f.Add(s)
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	only := func(s, chars string) bool { return strings.Trim(s, chars) == "" }
	ends := func(s, chars string) bool {
		return s != "" && only(s[:1], chars) && only(s[len(s)-1:], chars)
	}
	f.Fuzz(func(t *testing.T, key string) {
		parts := strings.Split(key, "/")
		name := parts[len(parts)-1]
		want := len(parts) <= 2 && len(name) <= 63 && ends(name, alnum)
		for _, r := range name {
			want = want && strings.ContainsRune(alnum+"-_.", r)
		}
		if len(parts) == 2 {
			want = want && len(parts[0]) <= 253
			for _, l := range strings.Split(parts[0], ".") {
				want = want && ends(l, "abcdefghijklmnopqrstuvwxyz0123456789")
				for _, r := range l {
					want = want && strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r)
				}
			}
		}
		if err := label.CheckKey(key); (err == nil) != want {
			t.Errorf("key %q: %v, want valid %v", key, err, want)
		}
	})
}
