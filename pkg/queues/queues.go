// Package queues reads queues.yaml: what players can search for, with the rule
// sets that it names. Director and frontend share the file; the director turns
// each queue into a match profile of Open Match, which carries the queue's
// rules to the match function.
package queues

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"sigs.k8s.io/yaml"

	"torikumi/pkg/contract"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/strictyaml"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

//go:embed default.yaml
var defaultYAML []byte

// MaxPlayers is the largest match.
const MaxPlayers = 200

// Set is a checked queues.yaml.
type Set struct {
	Queues []Queue `json:"queues"`
}

// Queue is what one kind of match needs: a rule set, or else teams, skill and
// the largest latency.
type Queue struct {
	// Name: 1 to 40 characters of [a-z0-9-], the first and last alphanumeric.
	Name string `json:"name"`
	// Regions to choose from; any when empty.
	Regions []string `json:"regions,omitempty"`
	// RuleSetFile is the path of the rule set, from the folder of the file.
	RuleSetFile string `json:"rule_set,omitempty"`
	// RuleSet is what it holds; nil exactly if RuleSetFile is empty.
	RuleSet *ruleset.RuleSet `json:"-"`
	Teams   []Team           `json:"teams"`
	Skill   Skill            `json:"skill"`
	// MaxLatencyMS puts regions that are further away out; no limit when 0.
	MaxLatencyMS int32 `json:"max_latency_ms,omitempty"`
	// Bots is how many bots the game server may add to teams that have fewer players
	// than they may have; with a rule set that says it.
	Bots int32 `json:"bots,omitempty"`
	// SmallestMatch is with how few players a match is still played that has lost
	// some before it had a server; what the match function says when 0.
	SmallestMatch int32      `json:"smallest_match,omitempty"`
	TimeLimits    TimeLimits `json:"time_limits,omitempty"`
	Allocation    Allocation `json:"allocation,omitempty"`
	// Backfill is nil if matches stay as they are.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Acceptance is nil if players are not asked whether they play a match.
	Acceptance *Acceptance `json:"acceptance,omitempty"`
	// WhilePlaying lets players search whose last match is still played.
	WhilePlaying bool `json:"while_playing,omitempty"`
	// TicketGroup is what queues share of which a player may search in one at a time;
	// each queue is its own when empty. It is not the name of a queue.
	TicketGroup string `json:"ticket_group,omitempty"`
	// Sources say where attributes have to come from, which are the client's else.
	Sources map[string]AttributeSource `json:"attributes,omitempty"`

	needs Needs
}

// Team is one team of a match.
type Team struct {
	Name string `json:"name"`
	// MaxPlayers is "players" in the file.
	MaxPlayers int32 `json:"players"`
	// MinPlayers is MaxPlayers when the file does not say.
	MinPlayers int32 `json:"min_players,omitempty"`
}

// Skill says how close the players of a match are.
type Skill struct {
	Attribute      string   `json:"attribute"`
	Window         float64  `json:"window"`
	WidenPerSecond float64  `json:"widen_per_second,omitempty"`
	AnySkillAfter  Duration `json:"any_skill_after,omitempty"`
}

// Duration is a time.Duration written like "8s".
type Duration struct{ time.Duration }

// UnmarshalText reads a duration such as "1m30s".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("must be a duration such as \"8s\", got %q", text)
	}
	d.Duration = v
	return nil
}

// Default returns the queues that come with the project.
func Default() *Set {
	s, err := Parse(defaultYAML)
	if err != nil {
		panic(err) // embedded, and parsed in the tests
	}
	return s
}

// DefaultFile returns the content of the queues.yaml of Default.
func DefaultFile() []byte { return bytes.Clone(defaultYAML) }

// Load reads a file and the rule sets beside it, or returns Default when path
// is empty.
func Load(path string) (*Set, error) { return LoadWith(path, ruleset.Checks{}) }

// LoadWith is Load with more checks of the rule sets.
func LoadWith(path string, checks ruleset.Checks) (*Set, error) {
	if path == "" {
		return Default(), nil
	}
	return readSnapshot(path).parse(path, checks)
}

// Parse reads and checks the content of a queues.yaml that names no rule sets.
// The error joins all that is wrong, each with the field's path and the rule.
func Parse(b []byte) (*Set, error) { return ParseFS(b, nil) }

// ParseFS is Parse with the files that queues may name as rule sets. What is
// wrong with those is in the error too, each with its line and column.
func ParseFS(b []byte, files fs.FS) (*Set, error) {
	var read reader
	if files != nil {
		read = func(name string) ([]byte, error) { return fs.ReadFile(files, name) }
	}
	return parse(b, read, ruleset.Checks{})
}

// reader returns the content of a rule set; nil if there is no folder of them.
type reader func(name string) ([]byte, error)

func parse(b []byte, read reader, checks ruleset.Checks) (*Set, error) {
	if err := strictyaml.OneDocument(b); err != nil {
		return nil, err
	}
	if err := checkFields(b); err != nil {
		return nil, err
	}
	var s Set
	if err := yaml.UnmarshalStrict(b, &s); err != nil {
		return nil, err
	}
	var errs []error
	if len(s.Queues) == 0 {
		errs = append(errs, errors.New("queues: at least one is required"))
	}
	seen := make(map[string]bool)
	for i := range s.Queues {
		q := &s.Queues[i]
		path := fmt.Sprintf("queues[%d]", i)
		if seen[q.Name] {
			errs = append(errs, fmt.Errorf("%s.name: must be unique, %q is there twice", path, q.Name))
		}
		seen[q.Name] = true
		errs = append(errs, q.check(path, read, checks)...)
	}
	for i, q := range s.Queues {
		if q.TicketGroup != "" && seen[q.TicketGroup] {
			errs = append(errs, fmt.Errorf("queues[%d].ticket_group: must not be the name of a queue, got %q", i, q.TicketGroup))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &s, nil
}

var (
	queueName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// check fills in defaults and returns what is wrong.
func (q *Queue) check(path string, read reader, checks ruleset.Checks) (errs []error) {
	bad := func(field, rule string, args ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: %w", path, field, fmt.Errorf(rule, args...)))
	}
	if !queueName.MatchString(q.Name) {
		bad("name", "must be 1 to 40 characters of a-z, 0-9 and -, got %q", q.Name)
	}
	for i, r := range q.Regions {
		if !contract.ValidLabelValue(r) || slices.Index(q.Regions, r) != i {
			bad(fmt.Sprintf("regions[%d]", i), "must be unique, 1 to 63 characters of A-Z, a-z, 0-9 and -_., got %q", r)
		}
	}
	if q.RuleSetFile != "" {
		q.checkRuleSet(bad, read, checks)
	} else {
		q.checkTeams(bad)
		q.checkSkill(bad)
	}
	q.checkSources(bad)
	if q.TicketGroup != "" && !queueName.MatchString(q.TicketGroup) {
		bad("ticket_group", "must be 1 to 40 characters of a-z, 0-9 and -, got %q", q.TicketGroup)
	}
	if least := q.MinPlayers(); q.SmallestMatch < 0 || least > 0 && int(q.SmallestMatch) > least {
		bad("smallest_match", "must be from 1 to %d, the players of the smallest match by the rules, got %d", least, q.SmallestMatch)
	}
	q.checkBots(bad)
	q.TimeLimits.check(report(bad).in("time_limits"))
	q.Allocation.check(report(bad).in("allocation"))
	q.checkBackfill(report(bad).in("backfill"))
	q.checkAcceptance(report(bad).in("acceptance"))
	return errs
}

func (q *Queue) checkTeams(bad func(field, rule string, args ...any)) {
	if len(q.Teams) == 0 {
		bad("teams", "at least one is required, unless the queue has a rule_set")
	}
	seen, total := make(map[string]bool), int64(0)
	for i := range q.Teams {
		t := &q.Teams[i]
		field := fmt.Sprintf("teams[%d]", i)
		if !ruleset.ValidName(t.Name) || seen[t.Name] {
			bad(field+".name", "must be unique, and "+ruleset.NameRule+", got %q", t.Name)
		}
		seen[t.Name] = true
		if t.MaxPlayers < 1 || t.MaxPlayers > MaxPlayers {
			bad(field+".players", "must be from 1 to %d, got %d", MaxPlayers, t.MaxPlayers)
		}
		if t.MinPlayers == 0 {
			t.MinPlayers = t.MaxPlayers
		}
		if t.MinPlayers < 1 || t.MinPlayers > t.MaxPlayers {
			bad(field+".min_players", "must be from 1 to players, got %d", t.MinPlayers)
		}
		total += int64(t.MaxPlayers)
	}
	if total > MaxPlayers {
		bad("teams", "a match has at most %d players, got %d", MaxPlayers, total)
	}
}

func (q *Queue) checkBots(bad func(field, rule string, args ...any)) {
	if q.RuleSetFile != "" {
		return // checkRuleSet has said it
	}
	room := int32(0)
	for _, t := range q.Teams {
		room += t.MaxPlayers - t.MinPlayers
	}
	if q.Bots < 0 || q.Bots > 0 && q.Bots > room {
		bad("bots", "must be from 0 to %d, by which the smallest match is smaller than a full one, got %d", max(room, 0), q.Bots)
	}
}

func (q *Queue) checkSkill(bad func(field, rule string, args ...any)) {
	if !ruleset.ValidName(q.Skill.Attribute) {
		bad("skill.attribute", ruleset.NameRule+", got %q", q.Skill.Attribute)
	}
	if !(q.Skill.Window >= 0) || math.IsInf(q.Skill.Window, 0) {
		bad("skill.window", "must be a finite number and not negative, got %v", q.Skill.Window)
	}
	if !(q.Skill.WidenPerSecond >= 0) || math.IsInf(q.Skill.WidenPerSecond, 0) {
		bad("skill.widen_per_second", "must be a finite number and not negative, got %v", q.Skill.WidenPerSecond)
	}
	if q.Skill.AnySkillAfter.Duration < 0 {
		bad("skill.any_skill_after", "must not be negative, got %v", q.Skill.AnySkillAfter)
	}
	if q.MaxLatencyMS < 0 || q.MaxLatencyMS > 60000 {
		bad("max_latency_ms", "must be from 0 to 60000, got %d", q.MaxLatencyMS)
	}
}

// Get finds a queue by its name.
func (s *Set) Get(name string) (Queue, bool) {
	for _, q := range s.Queues {
		if q.Name == name {
			return q, true
		}
	}
	return Queue{}, false
}

// Names returns the names of all queues, in the file's order.
func (s *Set) Names() []string {
	names := make([]string, len(s.Queues))
	for i, q := range s.Queues {
		names[i] = q.Name
	}
	return names
}

// Tag is what a ticket carries to be in the queue.
func (q Queue) Tag() string { return Tag(q.Name) }

// Tag is what a ticket carries to be in the queue of that name.
func Tag(queue string) string { return contract.ModeTagPrefix + queue }

// MaxParty is how many players a party can have: those of the largest team,
// with a rule set those that it has after any wait.
func (q Queue) MaxParty() int {
	size := 0
	for _, t := range q.Teams {
		size = max(size, int(t.MaxPlayers))
	}
	if q.RuleSet != nil {
		for i := range q.RuleSet.Stages {
			size = max(size, q.RuleSet.Stages[i].MaxParty())
		}
	}
	return size
}

// MinPlayers is how many players the smallest match has, with a rule set after any
// wait.
func (q Queue) MinPlayers() int {
	if q.RuleSet != nil {
		least := q.RuleSet.Stages[0].MinPlayers()
		for i := range q.RuleSet.Stages {
			least = min(least, q.RuleSet.Stages[i].MinPlayers())
		}
		return least
	}
	least := 0
	for _, t := range q.Teams {
		least += int(t.MinPlayers)
	}
	return least
}

// Profile is what Open Match is asked for: the tickets with the queue's tag,
// and the queue's rules for the match function.
func (q Queue) Profile() (*openmatch.MatchProfile, error) {
	p := &openmatch.MatchProfile{Name: q.Name, Pools: []*openmatch.Pool{{
		Name:              q.Name,
		TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: q.Tag()}},
	}}}
	details := &torikumiv1.ProfileDetails{Queue: q.Name}
	if q.RuleSet != nil {
		details.Rules = &torikumiv1.ProfileDetails_RuleSet{RuleSet: q.RuleSet.Text}
	} else {
		details.Rules = &torikumiv1.ProfileDetails_Skill{Skill: q.skillRules()}
	}
	return p, contract.Put(&p.Extensions, contract.ProfileExtension, details)
}

func (q Queue) skillRules() *torikumiv1.SkillRules {
	rules := &torikumiv1.SkillRules{
		SkillAttribute: q.Skill.Attribute,
		Window:         q.Skill.Window,
		WidenPerSecond: q.Skill.WidenPerSecond,
		MaxLatencyMs:   q.MaxLatencyMS,
	}
	if q.Skill.AnySkillAfter.Duration > 0 {
		rules.AnySkillAfter = durationpb.New(q.Skill.AnySkillAfter.Duration)
	}
	for _, t := range q.Teams {
		rules.Teams = append(rules.Teams, &torikumiv1.TeamSpec{Name: t.Name, MinPlayers: t.MinPlayers, MaxPlayers: t.MaxPlayers})
	}
	return rules
}
