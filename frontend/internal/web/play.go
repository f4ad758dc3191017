package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/contract"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// What a player is taken for who does not say.
const (
	defaultSkill   = 1500
	defaultLatency = 50
)

// play is the route of the studio's existing clients: one request from "Play" to
// the server. The ticket lives no longer than the request.
type play struct {
	Options
	secret [sha256.Size]byte
}

func newPlay(o Options) *play { return &play{Options: o, secret: sha256.Sum256([]byte(o.PlayToken))} }

// playAnswer is the body of both answers.
type playAnswer struct {
	Status   string      `json:"status"`
	TicketID string      `json:"ticket_id"`
	Server   *playServer `json:"server,omitempty"`
	Player   playPlayer  `json:"player"`
	JWT      string      `json:"jwt,omitempty"`
	Reason   string      `json:"reason,omitempty"`
}

type playServer struct {
	IP         string `json:"ip"`
	Port       int32  `json:"port"`
	Connection string `json:"connection"`
}

type playPlayer struct {
	Skill   float64 `json:"skill"`
	Latency int32   `json:"latency"`
	Region  string  `json:"region"`
}

func (p *play) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := p.player(r)
	if err != nil {
		fromError(err).Write(w)
		return
	}
	asked, err := playParameters(r)
	if err != nil {
		fromError(err).Write(w)
		return
	}
	begun, err := p.API.Create(r.Context(), id, &torikumiv1.CreateTicketRequest{
		Queue: p.PlayQueue, Region: asked.Region, Players: []*torikumiv1.Player{{
			Id:         id,
			Attributes: map[string]*torikumiv1.Attribute{contract.SkillArg: {Value: &torikumiv1.Attribute_Number{Number: asked.Skill}}},
			Latencies:  map[string]int32{asked.Region: asked.Latency},
		}},
	})
	if err != nil {
		fromError(err).Write(w)
		return
	}
	ended, err := p.await(r.Context(), begun.ID, id)
	if err != nil {
		fromError(err).Write(w)
		return
	}
	p.answer(w, &ended, id, asked)
}

// player returns who plays: somebody new for the shared token, else the player
// of the player token.
func (p *play) player(r *http.Request) (string, error) {
	if len(r.Header.Values("Authorization")) > 1 {
		return "", status.Error(codes.Unauthenticated, "there must be one Authorization header")
	}
	raw, err := api.Bearer(r.Header.Get("Authorization"))
	if err != nil {
		return "", err
	}
	// Hashed, so that not even the length shows in the time it takes.
	given := sha256.Sum256([]byte(raw))
	if p.PlayToken != "" && subtle.ConstantTimeCompare(given[:], p.secret[:]) == 1 {
		return "anonymous-" + rand.Text(), nil
	}
	return p.Auth.Verify(r.Context(), raw)
}

// await waits for the end of the ticket, and ends it itself when the time is
// over or the client has gone. An assignment that comes first wins.
func (p *play) await(ctx context.Context, id, playerID string) (ticket.Ticket, error) {
	found, err := p.API.Await(ctx, id, playerID, p.PlayTimeout)
	if err == nil && found.Ended() {
		return found, nil
	}
	if ended, ok := p.Matchmaker.Cancel(context.WithoutCancel(ctx), id); ok && err == nil {
		if ended.State == torikumiv1.TicketState_CANCELLED {
			ended.Reason = found.Reason // what it waited for until now
		}
		return ended, nil
	}
	return found, err
}

func (p *play) answer(w http.ResponseWriter, s *ticket.Ticket, playerID string, asked playPlayer) {
	a := playAnswer{TicketID: s.ID, Player: asked}
	code := http.StatusOK
	switch s.State {
	case torikumiv1.TicketState_ASSIGNED:
		t := p.API.Deliver(s, playerID)
		a.Status = "matched"
		a.Server = &playServer{IP: t.GetServer().GetIp(), Port: t.GetServer().GetPort(), Connection: t.GetServer().GetConnection()}
		a.JWT = t.GetJoinToken().GetJwt()
	default:
		a.Status, code = "timeout", http.StatusRequestTimeout
		a.Reason = s.Reason
	}
	body, err := json.Marshal(a)
	if err != nil { // strings and finite numbers: cannot happen
		problem.Write(w, http.StatusInternalServerError, "internal error")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
}

// playParameters reads path and query. The error is InvalidArgument and names
// the parameters that are wrong.
func playParameters(r *http.Request) (playPlayer, error) {
	p := playPlayer{Skill: defaultSkill, Latency: defaultLatency, Region: r.PathValue("region")}
	var wrong []problem.Field
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		value, rule := query.Get(name), ""
		switch {
		case len(query[name]) > 1:
			rule = "must be given once"
		case name == "skill":
			n, err := strconv.ParseFloat(value, 64)
			if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
				rule = "must be a finite number"
			}
			p.Skill = n
		case name == "latency":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil || n < 0 || n > 60_000 {
				rule = "must be a whole number of milliseconds from 0 to 60000"
			}
			p.Latency = int32(n)
		}
		if rule != "" {
			wrong = append(wrong, problem.Field{Field: name, Rule: rule})
		}
	}
	if p.Region == "" || !api.ValidName(p.Region) {
		wrong = append(wrong, problem.Field{Field: "region", Rule: "must have 1 to 64 characters of [A-Za-z0-9_.-]"})
	}
	if len(wrong) > 0 {
		return playPlayer{}, problem.InvalidArgument("the request breaks the rules of its parameters", wrong...)
	}
	return p, nil
}
