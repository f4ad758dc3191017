package gateapi

import (
	"errors"
	"net/http"

	"torikumi/gameserver/internal/admission"
	"torikumi/pkg/token"
)

// close closes the match to newcomers, or opens it again.
func (h *Handler) close(w http.ResponseWriter, r *http.Request) {
	var req ClosedRequest
	if p := read(w, r, maxBody, &req); p != nil {
		p.Write(w)
		return
	}
	if req.Closed == nil {
		badField("closed", "must be true or false").Write(w)
		return
	}
	match, err := h.controller.SetClosed(r.Context(), *req.Closed)
	if err != nil {
		refuseAs(w, http.StatusConflict, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", Closed{MatchID: match, Closed: *req.Closed})
}

// ban keeps a player out of the match.
func (h *Handler) ban(w http.ResponseWriter, r *http.Request) {
	var req BanRequest
	if p := read(w, r, maxBody, &req); p != nil {
		p.Write(w)
		return
	}
	if !token.ValidPlayer(req.Player) {
		badField("player", "must be the name of a player").Write(w)
		return
	}
	err := h.controller.Ban(r.Context(), req.Player)
	var refusal *admission.Refusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &refusal) && refusal.Reason == admission.ReasonNotOnRoster:
		refuseAs(w, http.StatusNotFound, err)
	default:
		refuseAs(w, http.StatusConflict, err)
	}
}
