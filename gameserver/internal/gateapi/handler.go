package gateapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/problem"
	"torikumi/pkg/service"
	"torikumi/pkg/strictjson"
	"torikumi/pkg/token"
)

const (
	// maxBody holds a token of the largest size that is looked at, and its JSON.
	maxBody = 16 << 10
	// maxPresence holds maxStays players with names and admissions of usual length.
	maxPresence = 1 << 20
	maxStays    = 8192
	// bodyTimeout is how long a caller on this machine may take to send it.
	bodyTimeout = 5 * time.Second
	maxKey      = 128
)

// Handler answers the API out of a admission.
type Handler struct {
	controller *admission.Controller
	admitted   prometheus.Counter
	refused    *prometheus.CounterVec
	lapsed     prometheus.Counter
}

// NewHandler makes a Handler and registers its metrics.
func NewHandler(c *admission.Controller, registry prometheus.Registerer) *Handler {
	h := &Handler{
		controller: c,
		admitted:   prometheus.NewCounter(prometheus.CounterOpts{Name: "torikumi_gate_admitted_total", Help: "Players let in."}),
		refused:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_gate_refused_total", Help: "Players refused, by reason."}, []string{"reason"}),
		lapsed:     prometheus.NewCounter(prometheus.CounterOpts{Name: "torikumi_gate_lapsed_total", Help: "Players taken for gone because the game server did not name them any more."}),
	}
	present := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "torikumi_gate_present", Help: "Players in the match."}, func() float64 {
		return float64(len(c.Snapshot().Present))
	})
	registry.MustRegister(h.admitted, h.refused, h.lapsed, present)
	return h
}

// Routes adds the API to a mux, guarded against what a browser on this machine can be made
// to send (service.LocalOnly).
func (h *Handler) Routes(mux *http.ServeMux) {
	for pattern, handle := range map[string]http.HandlerFunc{
		"POST /v1/admissions": h.admit, "POST /v1/departures": h.depart, "PUT /v1/presence": h.presence, "GET /v1/roster": h.roster,
		"PUT /v1/closed": h.close, "POST /v1/bans": h.ban,
		"POST /v1/backfill": h.askBackfill, "DELETE /v1/backfill": h.stopBackfill, "GET /v1/backfill": h.backfill,
	} {
		mux.Handle(pattern, service.LocalOnly(handle))
	}
}

func (h *Handler) admit(w http.ResponseWriter, r *http.Request) {
	var req AdmissionRequest
	if p := read(w, r, maxBody, &req); p != nil {
		p.Write(w)
		return
	}
	key := r.Header.Get(KeyHeader)
	switch {
	case req.Token == "":
		badField("token", "must not be empty").Write(w)
		return
	case len(key) > maxKey:
		badField(KeyHeader, fmt.Sprintf("must have at most %d characters", maxKey)).Write(w)
		return
	}
	a, err := h.controller.Admit(r.Context(), req.Token, key)
	if err != nil {
		h.refused.WithLabelValues(string(refuse(w, err))).Inc()
		return
	}
	h.admitted.Inc()
	writeJSON(w, http.StatusOK, "application/json",
		Admission{Player: a.Player, Team: a.Team, MatchID: a.Match, Reconnect: a.Reconnect, Admission: a.ID})
}

// refuse returns the reason that it has answered with.
func refuse(w http.ResponseWriter, err error) token.Reason {
	return refuseAs(w, http.StatusForbidden, err)
}

// refuseAs answers with a status unless something of ours is missing.
func refuseAs(w http.ResponseWriter, status int, err error) token.Reason {
	var refusal *admission.Refusal
	if !errors.As(err, &refusal) {
		problem.Write(w, http.StatusInternalServerError, "internal error")
		return "internal"
	}
	if refusal.Fault {
		status = http.StatusServiceUnavailable
	}
	p := problem.New(status, refusal.Detail)
	p.Reason = string(refusal.Reason)
	writeJSON(w, status, problem.ContentType, refusalBody{Problem: p, Retryable: refusal.Retryable, Renewable: refusal.Renewable})
	return refusal.Reason
}

func (h *Handler) depart(w http.ResponseWriter, r *http.Request) {
	var req DepartureRequest
	if p := read(w, r, maxBody, &req); p != nil {
		p.Write(w)
		return
	}
	if req.Player == "" {
		badField("player", "must not be empty").Write(w)
		return
	}
	switch err := h.controller.Depart(r.Context(), req.Player, req.Admission); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, admission.ErrNotPresent):
		p := problem.New(http.StatusNotFound, err.Error())
		p.Reason = string(admission.ReasonNotPresent)
		p.Write(w)
	default:
		refuse(w, err)
	}
}

func (h *Handler) presence(w http.ResponseWriter, r *http.Request) {
	var req Presence
	if p := read(w, r, maxPresence, &req); p != nil {
		p.Write(w)
		return
	}
	stays, wrong := checkPresence(req)
	if wrong != nil {
		wrong.Write(w)
		return
	}
	reported, err := h.controller.Report(r.Context(), req.MatchID, stays)
	var refusal *admission.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Reason == token.ReasonWrongMatch:
		p := problem.New(http.StatusConflict, refusal.Detail)
		p.Reason = string(refusal.Reason)
		p.Write(w)
		return
	case err != nil:
		refuse(w, err)
		return
	}
	h.lapsed.Add(float64(reported.Lapsed))
	answer := PresenceAnswer{Refused: []RefusedStay{}}
	for _, s := range reported.Refused {
		answer.Refused = append(answer.Refused, RefusedStay{Player: s.Player, Admission: s.Admission, Reason: s.Reason})
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
}

// checkPresence returns the stays of a report, or what is wrong with it.
func checkPresence(req Presence) ([]admission.Stay, *problem.Problem) {
	var fields []problem.Field
	switch {
	case req.MatchID == "":
		fields = append(fields, problem.Field{Field: "match_id", Rule: "must be the match_id of the admissions"})
	case req.Players == nil:
		fields = append(fields, problem.Field{Field: "players", Rule: "must list everybody who is there; nobody: []"})
	case len(req.Players) > maxStays:
		fields = append(fields, problem.Field{Field: "players", Rule: fmt.Sprintf("must be at most %d", maxStays)})
	}
	stays := make([]admission.Stay, 0, len(req.Players))
	for i, p := range req.Players {
		if !token.ValidPlayer(p.Player) {
			fields = append(fields, problem.Field{Field: fmt.Sprintf("players[%d].player", i), Rule: "must be the name of a player"})
		}
		if !journal.ValidID(p.Admission) {
			fields = append(fields, problem.Field{Field: fmt.Sprintf("players[%d].admission", i), Rule: "must be the admission that let the player in"})
		}
		stays = append(stays, admission.Stay{Player: p.Player, Admission: p.Admission})
	}
	if len(fields) > 0 {
		wrong := problem.New(http.StatusBadRequest, "the request is invalid", fields[:min(len(fields), maxFields)]...)
		return nil, &wrong
	}
	return stays, nil
}

// maxFields bounds how many mistakes one answer names.
const maxFields = 20

func (h *Handler) roster(w http.ResponseWriter, r *http.Request) {
	if err := h.controller.Await(r.Context()); err != nil {
		refuse(w, err)
		return
	}
	s := h.controller.Snapshot()
	answer := Roster{
		MatchID: s.Match, Queue: s.Roster.GetQueue(), Region: s.Roster.GetRegion(), State: s.State,
		Expected: []Expected{}, Bots: []Bots{}, Present: players(s.Present), Departed: players(s.Departed),
		Closed: s.Closed, Banned: append([]string{}, s.Banned...),
	}
	if json.Valid([]byte(s.Data)) && s.Match != "" {
		answer.Data = json.RawMessage(s.Data)
	}
	parties := map[string]int{}
	for _, team := range s.Roster.GetTeams() {
		for _, m := range team.GetMembers() {
			parties[m.GetTicketId()]++
		}
	}
	for _, team := range s.Roster.GetTeams() {
		for _, m := range team.GetMembers() {
			if s.Given[m.GetPlayerId()] {
				continue
			}
			e := Expected{Player: m.GetPlayerId(), Team: team.GetName()}
			if parties[m.GetTicketId()] > 1 {
				e.Party = m.GetTicketId()
			}
			answer.Expected = append(answer.Expected, e)
		}
		if n := team.GetBots(); n > 0 {
			answer.Bots = append(answer.Bots, Bots{Team: team.GetName(), Count: n})
		}
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
}

func players(list []journal.Player) []Player {
	all := make([]Player, 0, len(list))
	for _, g := range list {
		all = append(all, Player{Player: g.Player, Team: g.Team, Since: g.Since, Admission: g.Admission, Lapsed: g.Lapsed})
	}
	return all
}

// read fills v from the body: one JSON object with known members. The media type
// is asked for because a page in a browser on this machine cannot send it to
// another origin without being allowed to.
func read(w http.ResponseWriter, r *http.Request, limit int64, v any) *problem.Problem {
	fail := func(status int, detail string) *problem.Problem { p := problem.New(status, detail); return &p }
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return fail(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	// Not every ResponseWriter has deadlines; those of net/http have.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body must have at most %d bytes", limit))
	case err != nil:
		return fail(http.StatusBadRequest, "the body could not be read")
	}
	if err := strictjson.Decode(body, v); err != nil {
		return fail(http.StatusBadRequest, err.Error())
	}
	return nil
}

func badField(name, rule string) problem.Problem {
	return problem.New(http.StatusBadRequest, "the request is invalid", problem.Field{Field: name, Rule: rule})
}

func writeJSON(w http.ResponseWriter, status int, media string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // strings, times and bools: cannot happen
		problem.Write(w, http.StatusInternalServerError, "internal error")
		return
	}
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone if this fails
}
