// Package contract holds the names under which our services find each other's
// data inside the messages of Open Match and on the objects of Agones, and
// packs and unpacks that data. Everything typed is in
// torikumi/proto/torikumi/v1.
package contract

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/agones"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Names of extensions in Open Match's messages. Put says in which types they
// travel.
const (
	// TicketExtension holds a torikumiv1.TicketDetails in Ticket.extensions.
	TicketExtension = "torikumi.v1.ticket"
	// SearchTimeExtension holds a google.protobuf.Timestamp in Ticket.extensions, of a
	// ticket that was created in the place of another one: see SearchTime.
	SearchTimeExtension = "torikumi.v1.search_time"
	// ProfileExtension holds a torikumiv1.ProfileDetails in
	// MatchProfile.extensions.
	ProfileExtension = "torikumi.v1.profile"
	// MatchExtension holds a torikumiv1.MatchDetails in Match.extensions.
	MatchExtension = "torikumi.v1.match"
	// AssignmentExtension holds a torikumiv1.AssignmentDetails in
	// Assignment.extensions.
	AssignmentExtension = "torikumi.v1.assignment"
	// BackfillExtension holds a torikumiv1.BackfillDetails in
	// Backfill.extensions.
	BackfillExtension = "torikumi.v1.backfill"
	// EvaluationExtension holds an openmatch.DefaultEvaluationCriteria in
	// Match.extensions; the name is Open Match's own.
	EvaluationExtension = "evaluation_input"
)

// Labels and annotations on game servers.
const (
	// MatchLabel is stamped at allocation with MatchLabelValue of the match.
	MatchLabel = "torikumi/match"
	// AllocatableLabel, with the value "true", is on every server that players
	// may be sent to. Allocation selects by it.
	AllocatableLabel = "torikumi/allocatable"
	// SharedLabel is stamped at allocation with "true" if the server may get further
	// matches while it has some, and with "false" if it has one match. The first has an
	// empty MatchLabel.
	SharedLabel = "torikumi/shared"
	// QueueLabel is stamped at allocation with the queue's name.
	QueueLabel = "torikumi/queue"
	// RosterAnnotation is stamped at allocation with a torikumiv1.Roster as
	// JSON.
	RosterAnnotation = "torikumi/roster"
	// MatchDataAnnotation is stamped at allocation with a MatchData as JSON, if the
	// queue says what is in it and does not say another annotation.
	MatchDataAnnotation = "torikumi/match-data"
	// PlacingAnnotation is stamped at allocation, and anew when another director
	// takes the server over: a duration, within which the director assigns the
	// match's tickets or never will, a space, and the time at which it began.
	PlacingAnnotation = "torikumi/placing"
	// PlayersAnnotation is stamped at allocation, if the queue fills matches up, with
	// what EncodePlayers makes of those on the roster, and is kept in step with it.
	PlayersAnnotation = "torikumi/players"
	// BackfillAnnotation holds the id of the Open Match backfill by which players are
	// searched for; it is there as long as they are.
	BackfillAnnotation = "torikumi/backfill"
	// AdmittedAnnotation is set by the gate, through the SDK, to the value of
	// MatchLabel when the first player of that match comes in. It stays.
	AdmittedAnnotation = agones.SDKPrefix + AdmittedKey
	// AdmittedKey is AdmittedAnnotation as the SDK is told it.
	AdmittedKey = "torikumi-admitted"
)

// Names of search fields, as the frontends in the field fill them.
const (
	// ModeTagPrefix + a queue's name is the tag that puts a ticket in a queue.
	ModeTagPrefix = "mode."
	// RegionArg is the string arg with the only region to play in.
	RegionArg = "region"
	// SkillArg is the usual double arg with the player's skill.
	SkillArg = "skill"
	// LatencyArg is the double arg with the latency to the region in ms.
	LatencyArg = "latency"
)

// TicketDetails returns what a ticket says of its players. A ticket without
// our extension is one player with the ticket's id, and the search fields are
// the attributes; the latency is that to the region, in whole milliseconds, and -1
// if it is negative or no number.
func TicketDetails(t *openmatch.Ticket) (*torikumiv1.TicketDetails, error) {
	details := new(torikumiv1.TicketDetails)
	err := Get(t.GetExtensions(), TicketExtension, details)
	if err == nil {
		if len(details.GetPlayers()) == 0 {
			return nil, fmt.Errorf("ticket %q: extension %q has no players", t.GetId(), TicketExtension)
		}
		return details, nil
	}
	if !errors.Is(err, ErrNoExtension) {
		return nil, fmt.Errorf("ticket %q: %w", t.GetId(), err)
	}

	fields := t.GetSearchFields()
	player := &torikumiv1.Player{Id: t.GetId(), Attributes: make(map[string]*torikumiv1.Attribute)}
	for name, v := range fields.GetDoubleArgs() {
		player.Attributes[name] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: v}}
	}
	for name, v := range fields.GetStringArgs() {
		player.Attributes[name] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: v}}
	}
	details.Region = fields.GetStringArgs()[RegionArg]
	if ms, ok := fields.GetDoubleArgs()[LatencyArg]; ok && details.Region != "" {
		player.Latencies = map[string]int32{details.Region: wholeLatency(ms)}
	}
	details.Players = []*torikumiv1.Player{player}
	return details, nil
}

// SearchTime is since when the players of a ticket search: since what its extension says
// if that is before the ticket was created, else since then. It is false if the ticket
// says neither.
func SearchTime(t *openmatch.Ticket) (time.Time, bool) {
	var since time.Time
	created := t.GetCreateTime()
	known := created != nil && created.CheckValid() == nil
	if known {
		since = created.AsTime()
	}
	if t.GetExtensions()[SearchTimeExtension] == nil {
		return since, known // as of nearly all
	}
	var says timestamppb.Timestamp
	err := Get(t.GetExtensions(), SearchTimeExtension, &says)
	if err == nil && says.CheckValid() == nil && (!known || says.AsTime().Before(since)) {
		return says.AsTime(), true
	}
	return since, known
}

// wholeLatency rounds up, so that a limit is kept.
func wholeLatency(ms float64) int32 {
	if !(ms >= 0) {
		return -1
	}
	return int32(min(math.Ceil(ms), math.MaxInt32))
}

// EncodeRoster writes a roster as the annotation holds it.
func EncodeRoster(r *torikumiv1.Roster) (string, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r)
	return string(b), err
}

// DecodeRoster reads the annotation. Fields that a newer director adds are
// passed over.
func DecodeRoster(s string) (*torikumiv1.Roster, error) {
	r := new(torikumiv1.Roster)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(s), r); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", RosterAnnotation, err)
	}
	return r, nil
}

// MaxPlayersBytes is the longest value of PlayersAnnotation. All annotations of a game
// server have 256 KiB together.
const MaxPlayersBytes = 96 << 10

// EncodePlayers writes players as the annotation holds them. It reports false if that is
// longer than MaxPlayersBytes.
func EncodePlayers(p *torikumiv1.RosterPlayers) (text string, fits bool, err error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	text = base64.StdEncoding.EncodeToString(b)
	return text, len(text) <= MaxPlayersBytes, err
}

// DecodePlayers reads the annotation.
func DecodePlayers(s string) (*torikumiv1.RosterPlayers, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	p := new(torikumiv1.RosterPlayers)
	if err == nil {
		err = proto.Unmarshal(b, p)
	}
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", PlayersAnnotation, err)
	}
	return p, nil
}

// OfMatch is the key of an annotation on a server that may have several matches: the
// annotation of one of them, by the value of its MatchLabel.
func OfMatch(annotation, label string) string { return annotation + "." + label }

// MatchData is what a game server is told of its match beside the roster.
type MatchData struct {
	// Match is the value of MatchLabel.
	Match  string `json:"match"`
	Queue  string `json:"queue"`
	Region string `json:"region,omitempty"`
	// Values are the queue's own.
	Values map[string]string `json:"values,omitempty"`
	// Players holds the attributes of each player who has some: numbers, texts, lists
	// of texts, and objects of numbers.
	Players map[string]map[string]any `json:"players,omitempty"`
	// LeftOut says that players are left out, as they are too large together.
	LeftOut bool `json:"players_left_out,omitempty"`
}

// labelValue is the rule of Kubernetes for the value of a label.
var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

// subdomain is one part of a DNS name.
const subdomain = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`

// key is the rule of Kubernetes for the key of a label or an annotation.
var key = regexp.MustCompile(`^(` + subdomain + `(\.` + subdomain + `)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

// ValidKey reports whether s may stand as the key of a label or an annotation.
func ValidKey(s string) bool { return key.MatchString(s) }

// ValidLabelValue reports whether s may stand as the value of a label: 1 to 63
// characters of [A-Za-z0-9_.-], the first and the last alphanumeric.
func ValidLabelValue(s string) bool { return labelValue.MatchString(s) }

// MatchLabelValue derives from Open Match's match id, which can be any
// string, the id that stands in the label and in join tokens: the same for
// the same match, another for another.
func MatchLabelValue(matchID string) string {
	sum := sha256.Sum256([]byte(matchID))
	return "m-" + hex.EncodeToString(sum[:16])
}
