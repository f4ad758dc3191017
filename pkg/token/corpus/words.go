package corpus

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// words are what ${...} stands for in a text of the corpus.
type words struct {
	now   int64
	texts map[string]string
}

var (
	wordPattern     = regexp.MustCompile(`\$\{([^}]*)\}`)
	nowPattern      = regexp.MustCompile(`^now([+-]\d+)?$`)
	repeatPattern   = regexp.MustCompile(`^(\d{1,6})\*(.+)$`)
	slicePattern    = regexp.MustCompile(`^([a-z-]+):(-?\d*):(-?\d*)$`)
	base64urlLetter = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// fill puts words in their places.
func (w words) fill(text string) (string, error) {
	var failed error
	filled := wordPattern.ReplaceAllStringFunc(text, func(place string) string {
		word, err := w.word(place[2 : len(place)-1])
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", place, err)
		}
		return word
	})
	return filled, failed
}

// word returns a known text; now, now+SECONDS or now-SECONDS; TIMES*TEXT; hex:BYTES;
// NAME:FROM:TO, a part of a known text, where a negative number counts from its end; or
// other-last-letter.
func (w words) word(expr string) (string, error) {
	if text, ok := w.texts[expr]; ok {
		return text, nil
	}
	if m := nowPattern.FindStringSubmatch(expr); m != nil {
		offset, err := strconv.ParseInt("0"+strings.TrimLeft(m[1], "+-"), 10, 64)
		if err != nil {
			return "", errWord
		}
		if strings.HasPrefix(m[1], "-") {
			offset = -offset
		}
		return strconv.FormatInt(w.now+offset, 10), nil
	}
	if m := repeatPattern.FindStringSubmatch(expr); m != nil {
		times, err := strconv.Atoi(m[1])
		if err != nil {
			return "", errWord
		}
		return strings.Repeat(m[2], times), nil
	}
	if text, ok := strings.CutPrefix(expr, "hex:"); ok {
		data, err := hex.DecodeString(text)
		if err != nil {
			return "", errWord
		}
		return string(data), nil
	}
	if expr == "other-last-letter" {
		return otherLastLetter(w.texts["signature"])
	}
	if m := slicePattern.FindStringSubmatch(expr); m != nil {
		if text, ok := w.texts[m[1]]; ok {
			return part(text, m[2], m[3])
		}
	}
	return "", errWord
}

// otherLastLetter is another last letter for which most decoders see the same bytes:
// the bits in which it differs are left over.
func otherLastLetter(signature string) (string, error) {
	if signature == "" {
		return "", errWord
	}
	at := strings.IndexByte(base64urlLetter, signature[len(signature)-1]) ^ 1
	return base64urlLetter[at : at+1], nil
}

func part(text, from, to string) (string, error) {
	begin, err := position(from, 0, len(text))
	if err != nil {
		return "", err
	}
	end, err := position(to, len(text), len(text))
	if err != nil {
		return "", err
	}
	if begin > end {
		return "", errWord
	}
	return text[begin:end], nil
}

func position(s string, unset, length int) (int, error) {
	if s == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(s)
	if n < 0 {
		n += length
	}
	if err != nil || n < 0 || n > length {
		return 0, errWord
	}
	return n, nil
}

// value fills the texts in a JSON value. A text that is nothing but a time becomes a
// number.
func (w words) value(v any) (any, error) {
	switch v := v.(type) {
	case string:
		text, err := w.fill(v)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(v, "${now") && wordPattern.FindString(v) == v {
			return json.Number(text), nil
		}
		return text, nil
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = w.value(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for name := range v {
			var err error
			if object[name], err = w.value(v[name]); err != nil {
				return nil, err
			}
		}
		return object, nil
	}
	return v, nil
}
