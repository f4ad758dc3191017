// Package config reads a service's settings: each is declared once, as a
// field of a struct, and can be given as a flag or in the environment. It is
// the first thing that every service on the player's path runs.
//
// A field is a setting if it has a "flag" tag:
//
//	type Config struct {
//		Backend string        `flag:"backend" env:"OPEN_MATCH_BACKEND" default:"127.0.0.1:50505" help:"Open Match backend, host:port."`
//		Timeout time.Duration `flag:"timeout" default:"30s" help:"Longest time for one match."`
//	}
//
// The environment variable is the env tag, or else the flag's name in capitals
// with underscores, and stands behind the prefix that Load is given. A flag
// beats the environment, the environment beats the default. Structs may be
// embedded. Types: string, bool, int, int64, float64, time.Duration,
// []string (comma-separated) and whatever implements
// encoding.TextUnmarshaler.
//
// Two more tags say what a value has to satisfy. The help shows them, and their
// errors read "must be" and the rule:
//
//	required:"tickets are read from it"   must be given; the text says why
//	rule:"positive"                       numbers and durations; or "not negative"
//	rule:"from 1 to 100"                  or "at least 1s", "at most 5", "above 0 and at most 1"
//	rule:"text or json"                   one of these words, as in "a, b or c"
//	rule:"host:port"                      both are there, the port is from 1 to 65535
//	rule:"listen"                         host:port to listen on: no host is any, port 0 is any free one
//	rule:"IP address"
//	rule:"url"                            an absolute http or https URL
//
// A rule for a list is about each of its elements. A setting that is empty by
// default may be left empty. What concerns several settings, or needs more than
// these rules, is for the struct's Validate.
package config

import (
	"encoding"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/suggest"
)

// ErrHelp is returned by Load when help was asked for, and printed.
var ErrHelp = flag.ErrHelp

// Validator is a struct, or an embedded part of one, that reports which of
// its settings are wrong. Its error joins all there are; each names the
// setting and the rule (see Invalid).
type Validator interface {
	Validate() error
}

// Describer is a struct whose help has more to say than its settings.
type Describer interface {
	// Describe is the text that stands between the usage and the settings.
	Describe() string
}

// Given, embedded in the struct that Load fills, tells its Validate which settings
// were given: as a flag or in the environment, also with the value of the default.
type Given struct{ flags map[string]bool }

// IsGiven reports whether a setting was given, and not empty.
func (g *Given) IsGiven(flagName string) bool { return g.flags[flagName] }

func (g *Given) give(flagName string) {
	if g.flags == nil {
		g.flags = make(map[string]bool)
	}
	g.flags[flagName] = true
}

// Error is one wrong setting.
type Error struct {
	// Setting is the flag's name, with its dashes.
	Setting string
	// Rule is what the value has to satisfy.
	Rule string
	// Value is what was given, unless the setting is secret.
	Value string
	// Others are the settings, as flags with their dashes, that the rule is about
	// as well: it is not reported while one of them could not be read.
	Others []string
}

func (e *Error) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %s", e.Setting, e.Rule)
	}
	return fmt.Sprintf("%s: %s, got %q", e.Setting, e.Rule, e.Value)
}

// Invalid makes the error for a setting whose value breaks a rule.
func Invalid(flagName, rule string, value any) error {
	return &Error{Setting: "--" + flagName, Rule: rule, Value: fmt.Sprint(value)}
}

// Missing makes the error for a setting that has to be given.
func Missing(flagName, why string) error {
	return &Error{Setting: "--" + flagName, Rule: "required: " + why}
}

// setting is one field of a config struct.
type setting struct {
	name, env, def, help string
	required             string // why it has to be given
	rule                 *rule  // nil: any value will do
	secret               bool
	value                reflect.Value
}

// Load fills cfg, a pointer to a struct, from its defaults, the environment
// and args, and validates it. The error joins everything that is wrong, so
// that one start shows it all. When args ask for help, the settings are
// printed to out and the error is ErrHelp.
func Load(name, envPrefix string, cfg any, args []string, getenv func(string) string, out io.Writer) error {
	settings, err := fields(reflect.ValueOf(cfg), envPrefix)
	if err != nil {
		return err
	}

	var errs []error
	unreadable := make(map[string]bool) // by flag
	read := func(s setting, where, text string) {
		if err := s.set(where, text); err != nil {
			errs = append(errs, err)
			unreadable["--"+s.name] = true
		}
	}
	given, _ := cfg.(interface{ give(flagName string) })
	take := func(s setting, where, text string) {
		if given != nil && text != "" {
			given.give(s.name)
		}
		read(s, where, text)
	}
	for _, s := range settings {
		if s.def != "" {
			read(s, "--"+s.name, s.def)
		}
		if v := getenv(s.env); v != "" {
			take(s, s.env, v)
		}
	}

	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, s := range settings {
		// A wrong value is kept for the end instead of ending the parse.
		record := func(v string) error { take(s, "--"+s.name, v); return nil }
		if s.value.Kind() == reflect.Bool {
			fs.BoolFunc(s.name, s.help, record)
		} else {
			fs.Func(s.name, s.help, record)
		}
	}
	wrong := func(err error) { errs = append(errs, undefined(err, settings)) }
	if err := parse(fs, args, wrong); err != nil {
		more := ""
		if d, ok := cfg.(Describer); ok {
			more = d.Describe()
		}
		usage(out, name, more, settings)
		return err
	}
	if fs.NArg() > 0 {
		// What stands behind it has not been read, and would seem to be missing.
		errs = append(errs, fmt.Errorf("unexpected argument %q: settings are given as --name=value", fs.Arg(0)))
	} else {
		errs = append(errs, readable(Validate(cfg), unreadable)...)
	}
	return errors.Join(errs...)
}

// parse goes on behind flags that do not exist, and reports them to wrong. Its
// error is ErrHelp if help was asked for.
func parse(fs *flag.FlagSet, args []string, wrong func(error)) error {
	last := ""
	for {
		err := fs.Parse(args)
		if err == nil || errors.Is(err, flag.ErrHelp) {
			return err
		}
		if err.Error() != last {
			wrong(err)
		}
		last = err.Error()
		rest := fs.Args()
		if len(rest) == len(args) { // flag does not step over what is no flag at all
			rest = rest[1:]
		}
		args = rest
	}
}

// undefined names the flag that does not exist, and what was most likely meant.
func undefined(err error, settings []setting) error {
	name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return err
	}
	return fmt.Errorf("--%s: no such setting%s", name, meant(name, settings, func(s setting) string { return s.name }, "--"))
}

// meant is a hint for a name that is nearly that of a setting.
func meant(name string, settings []setting, of func(setting) string, before string) string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = of(s)
	}
	if best := suggest.Nearest(name, names); best != "" {
		return "; did you mean " + before + best + "?"
	}
	return ""
}

// readable takes apart what Validate found, and leaves out settings that could
// not even be read: those still have another value than the one given.
func readable(found error, unreadable map[string]bool) []error {
	if joined, ok := found.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, readable(e, unreadable)...)
		}
		return all
	}
	var wrong *Error
	if found == nil {
		return nil
	}
	if errors.As(found, &wrong) {
		for _, s := range append([]string{wrong.Setting}, wrong.Others...) {
			if unreadable[s] {
				return nil
			}
		}
	}
	return []error{found}
}

// Report says what is wrong with the settings of a program or command: err is
// what Load has returned.
func Report(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: wrong settings (--help shows all):\n", name)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// ofServices are variables that Kubernetes sets in every pod, for each Service
// of its namespace.
var ofServices = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Unknown are the variables of environ, which is like os.Environ, that begin
// with the prefix and are no setting of cfg, a pointer to a struct: most likely
// misspelt. Each is followed by what may have been meant.
func Unknown(cfg any, envPrefix string, environ []string) []string {
	settings, err := fields(reflect.ValueOf(cfg), envPrefix)
	if err != nil {
		panic(err) // no pointer to a struct: found by the first test
	}
	var unknown []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		known := slices.ContainsFunc(settings, func(s setting) bool { return s.env == name })
		if strings.HasPrefix(name, envPrefix) && !known && !ofServices.MatchString(name) {
			unknown = append(unknown, name+meant(name, settings, func(s setting) string { return s.env }, ""))
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Default fills cfg, a pointer to a struct, with its defaults.
func Default(cfg any) {
	settings, err := fields(reflect.ValueOf(cfg), "")
	if err != nil {
		panic(err) // a mistake in the struct's tags, found by its first test
	}
	for _, s := range settings {
		if s.def == "" {
			continue
		}
		if err := s.set("--"+s.name, s.def); err != nil {
			panic(err)
		}
	}
}

// Validate joins everything that is wrong with cfg, a pointer to a struct: what
// breaks the rules of the tags, and what the structs that cfg embeds and cfg
// itself have to say. A struct that embeds a Validator has to have a Validate of
// its own, which speaks of its own settings only.
func Validate(cfg any) error {
	settings, err := fields(reflect.ValueOf(cfg), "")
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range settings {
		errs = append(errs, s.check()...)
	}
	return errors.Join(append(errs, validators(reflect.ValueOf(cfg))...)...)
}

func validators(ptr reflect.Value) []error {
	var errs []error
	v := ptr.Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct {
			errs = append(errs, validators(v.Field(i).Addr())...)
		}
	}
	if val, ok := ptr.Interface().(Validator); ok {
		errs = append(errs, val.Validate())
	}
	return errs
}

func fields(ptr reflect.Value, prefix string) ([]setting, error) {
	if ptr.Kind() != reflect.Pointer || ptr.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: want a pointer to a struct, got %s", ptr.Type())
	}
	var all []setting
	v := ptr.Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		// Not reflect.VisibleFields: embedded structs may have fields of one name.
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			inner, err := fields(v.Field(i).Addr(), prefix)
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
			continue
		}
		name, ok := f.Tag.Lookup("flag")
		if !ok {
			continue
		}
		env := f.Tag.Get("env")
		if env == "" {
			env = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		}
		one := setting{
			name: name, env: prefix + env, def: f.Tag.Get("default"), help: f.Tag.Get("help"),
			required: f.Tag.Get("required"), secret: f.Tag.Get("secret") == "true", value: v.Field(i),
		}
		if text := f.Tag.Get("rule"); text != "" {
			var err error
			if one.rule, err = parseRule(text, f.Type); err != nil {
				return nil, fmt.Errorf("config: setting %s: %w", name, err)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// set parses text into the field; where names the origin in the error.
func (s setting) set(where, text string) error {
	var rule string
	var err error
	switch p := s.value.Addr().Interface().(type) {
	case *slog.Level:
		rule, err = "must be DEBUG, INFO, WARN or ERROR", p.UnmarshalText([]byte(text))
	case encoding.TextUnmarshaler:
		if err = p.UnmarshalText([]byte(text)); err != nil {
			rule = err.Error()
		}
	case *time.Duration:
		rule, err = `must be a duration such as "250ms" or "2m"`, parsed(p, text, time.ParseDuration)
	case *bool:
		rule, err = "must be true or false", parsed(p, text, strconv.ParseBool)
	case *int:
		rule, err = "must be a whole number", parsed(p, text, strconv.Atoi)
	case *int64:
		rule, err = "must be a whole number", parsed(p, text, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	case *float64:
		rule, err = "must be a number", parsed(p, text, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	default:
		if s.value.Kind() != reflect.String {
			return fmt.Errorf("config: setting %s has the unsupported type %s", s.name, s.value.Type())
		}
		s.value.SetString(text)
	}
	if err == nil {
		return nil
	}
	if s.secret {
		text = ""
	}
	return &Error{Setting: where, Rule: rule, Value: text}
}

// parsed changes a value only if the text can be parsed.
func parsed[T any](to *T, text string, parse func(string) (T, error)) error {
	v, err := parse(text)
	if err == nil {
		*to = v
	}
	return err
}

func usage(out io.Writer, name, more string, settings []setting) {
	fmt.Fprintf(out, "Usage: %s [--setting=value ...]\n%s\nSettings (flag, environment variable, default, rule):\n", name, more)
	for _, s := range settings {
		def := s.def
		if def == "" {
			def = "none"
			if s.value.Kind() == reflect.Bool {
				def = "false"
			}
		}
		if s.required != "" && s.def == "" {
			def = "required"
		}
		text := ""
		if s.rule != nil {
			text = "  " + s.rule.text
		}
		fmt.Fprintf(out, "\n  --%s  $%s  [%s]%s\n      %s\n", s.name, s.env, def, text, s.help)
	}
}
