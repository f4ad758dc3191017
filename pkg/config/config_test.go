package config_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/config"
)

type Base struct {
	Listen string `flag:"listen" default:":80" rule:"listen" help:"Address."`
}

type settings struct {
	Base
	Wait    time.Duration `flag:"wait" default:"250ms" help:"How long."`
	Names   []string      `flag:"names" env:"SOME_NAMES" help:"Who."`
	Count   int           `flag:"count" default:"3" rule:"not negative" help:"How many."`
	Ratio   float64       `flag:"ratio" default:"0.5" help:"How much."`
	Verbose bool          `flag:"verbose" help:"More."`
	Token   string        `flag:"token" secret:"true" required:"nobody can call without it" help:"Secret."`
	ignored int
}

func load(env map[string]string, args ...string) (settings, string, error) {
	var s settings
	var out bytes.Buffer
	err := config.Load("svc", "SVC_", &s, args, func(k string) string { return env[k] }, &out)
	return s, out.String(), err
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	s, _, err := load(map[string]string{"SVC_WAIT": "1s", "SVC_COUNT": "7", "SVC_SOME_NAMES": "a, b,,c", "SVC_TOKEN": "x"},
		"--wait=2s", "--verbose", "--ratio", "0.25")
	if err != nil {
		t.Fatal(err)
	}
	if s.Wait != 2*time.Second || s.Count != 7 || !s.Verbose || s.Ratio != 0.25 || s.Listen != ":80" {
		t.Errorf("got %+v", s)
	}
	if got := strings.Join(s.Names, "|"); got != "a|b|c" {
		t.Errorf("names = %q", got)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, _, err := load(map[string]string{"SVC_COUNT": "many"}, "--wait=soon", "--ratio=x", "--verbose=perhaps")
	for _, want := range []string{"SVC_COUNT: must be a whole number", "--wait: must be a duration", "--ratio: must be a number", "--verbose: must be true or false"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	_, _, err = load(nil, "--listen=nowhere", "--count=-1")
	for _, want := range []string{"--listen: must be host:port", "--count: must not be negative", "--token: required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	var one *config.Error
	if !errors.As(err, &one) {
		t.Error("the error holds no *config.Error")
	}
}

type pair struct {
	A     int `flag:"a" help:"A."`
	B     int `flag:"b" help:"B."`
	wrong error
}

func (p *pair) Validate() error { return p.wrong }

// TestUnreadableHidesNothing: what cannot be read does not hide what breaks a
// rule, and is named once.
func TestUnreadableHidesNothing(t *testing.T) {
	_, _, err := load(map[string]string{"SVC_COUNT": "-1"}, "--nonsense=1", "--wait=soon", "--=", "--count=x", "--listen=nowhere")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"nonsense", "bad flag syntax", "--wait: must be a duration", "--count: must be a whole number", "--listen: must be host:port", "--token: required"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("error lacks %q, or has it twice:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "negative") {
		t.Errorf("a value that was not given last is judged:\n%v", err)
	}
	// A rule about two settings waits for both to be readable.
	both := &config.Error{Setting: "--a", Others: []string{"--b"}, Rule: "only one of --a and --b"}
	for args, want := range map[string]bool{"--b=x": false, "--a=x": false, "--b=1": true} {
		var p pair
		p.wrong = both
		if err := config.Load("svc", "", &p, []string{args}, func(string) string { return "" }, &bytes.Buffer{}); errors.Is(err, both) != want {
			t.Errorf("%s: %v", args, err)
		}
	}
	// What stands behind a stray argument is not read, and not missed.
	if _, _, err := load(nil, "stray", "--token=x"); err == nil || strings.Contains(err.Error(), "required") {
		t.Errorf("error = %v", err)
	}
}

func TestUnknownFlagAndArgument(t *testing.T) {
	if _, _, err := load(nil, "--nonsense=1", "--token=x"); err == nil || err.Error() != "--nonsense: no such setting" {
		t.Errorf("unknown flag: %v", err)
	}
	if _, _, err := load(nil, "--name=x", "-verbos", "--token=x"); err == nil || err.Error() != "--name: no such setting; did you mean --names?\n--verbos: no such setting; did you mean --verbose?" {
		t.Errorf("misspelt flags: %v", err)
	}
	if _, _, err := load(nil, "--token=x", "stray"); err == nil || !strings.Contains(err.Error(), "stray") {
		t.Errorf("stray argument: %v", err)
	}
}

func TestSecretStaysOutOfErrors(t *testing.T) {
	type secret struct {
		Pin int `flag:"pin" secret:"true" help:"Pin."`
	}
	var s secret
	err := config.Load("svc", "", &s, []string{"--pin=hunter2"}, func(string) string { return "" }, &bytes.Buffer{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v", err)
	}
}

func TestHelpShowsEverySetting(t *testing.T) {
	_, out, err := load(nil, "--help")
	if !errors.Is(err, config.ErrHelp) {
		t.Fatalf("error = %v", err)
	}
	for _, want := range []string{"--listen", "$SVC_LISTEN", "[:80]", "--names", "$SVC_SOME_NAMES", "[none]", "$SVC_VERBOSE  [false]", "How long.", "[3]  not negative", "$SVC_TOKEN  [required]"} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q:\n%s", want, out)
		}
	}
}

func TestDefault(t *testing.T) {
	var s settings
	config.Default(&s)
	if s.Wait != 250*time.Millisecond || s.Count != 3 || s.Listen != ":80" || s.ignored != 0 {
		t.Errorf("got %+v", s)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("--wait=1s", "--names=a,b")
	f.Add("--count", "-1")
	f.Fuzz(func(t *testing.T, a, b string) {
		s, _, err := load(nil, a, b)
		if err == nil && (s.Token == "" || s.Count < 0) {
			t.Errorf("accepted %q %q: %+v", a, b, s)
		}
	})
}

func TestLogLevel(t *testing.T) {
	type logging struct {
		Level slog.Level `flag:"level" default:"INFO" help:"Level."`
	}
	var l logging
	none := func(string) string { return "" }
	if err := config.Load("svc", "", &l, []string{"--level=debug"}, none, &bytes.Buffer{}); err != nil || l.Level != slog.LevelDebug {
		t.Errorf("got %v, %v", l.Level, err)
	}
	err := config.Load("svc", "", &l, []string{"--level=loud"}, none, &bytes.Buffer{})
	if err == nil || err.Error() != `--level: must be DEBUG, INFO, WARN or ERROR, got "loud"` {
		t.Errorf("got %v", err)
	}
}

func TestUnknownVariables(t *testing.T) {
	got := config.Unknown(&settings{}, "SVC_", []string{
		"SVC_WAIT=1s", "SVC_SOME_NAMES=a", "SVC_WIAT=2s", "SVC_=", "OTHER=1", "SVC_ALLOW=",
		"SVC_SERVICE_HOST=10.0.0.1", "SVC_SERVICE_PORT_HTTP=80", "SVC_PORT=tcp://10.0.0.1:80", "SVC_PORT_80_TCP_ADDR=10.0.0.1",
	})
	if want := []string{"SVC_", "SVC_ALLOW", "SVC_WIAT; did you mean SVC_WAIT?"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type described struct{ settings }

func (*described) Describe() string { return "       svc help\n" }

func TestHelpDescribes(t *testing.T) {
	var out bytes.Buffer
	err := config.Load("svc", "SVC_", &described{}, []string{"--help"}, func(string) string { return "" }, &out)
	if want := "Usage: svc [--setting=value ...]\n       svc help\n\nSettings "; !errors.Is(err, config.ErrHelp) || !strings.HasPrefix(out.String(), want) {
		t.Errorf("%v: %s", err, out.String())
	}
}

// Embedded structs may have fields of one name, as two clouds both have zones.
func TestEmbeddedFieldsOfOneName(t *testing.T) {
	type One struct {
		Zones string `flag:"one-zones" default:"a"`
	}
	type Two struct {
		Zones string `flag:"two-zones" default:"b"`
	}
	var c struct {
		One
		Two
	}
	none := func(string) string { return "" }
	if err := config.Load("x", "X_", &c, []string{"--one-zones=c"}, none, new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
	if c.One.Zones != "c" || c.Two.Zones != "b" {
		t.Errorf("got %+v", c)
	}
}

type withGiven struct {
	config.Given
	Base
	Count int    `flag:"count" default:"3" help:"How many."`
	Ratio int    `flag:"ratio" default:"4" help:"How much."`
	Other string `flag:"other" default:"x" help:"What else."`
	seen  []string
}

func (s *withGiven) Validate() error {
	for _, flag := range []string{"listen", "count", "ratio", "other"} {
		if s.IsGiven(flag) {
			s.seen = append(s.seen, flag)
		}
	}
	return nil
}

// What was given is known, also if it is the default.
func TestGiven(t *testing.T) {
	var s withGiven
	env := map[string]string{"SVC_COUNT": "3"}
	err := config.Load("svc", "SVC_", &s, []string{"--listen=:80", "--other="}, func(k string) string { return env[k] }, nil)
	if want := []string{"listen", "count"}; err != nil || !slices.Equal(s.seen, want) {
		t.Errorf("%v: got %v, want %v", err, s.seen, want)
	}
}
