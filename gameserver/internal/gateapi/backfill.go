package gateapi

import (
	"net/http"

	"torikumi/gameserver/internal/admission"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// askBackfill has players searched for, for as long as the match lasts or until
// stopBackfill.
func (h *Handler) askBackfill(w http.ResponseWriter, r *http.Request) {
	if p := read(w, r, maxBody, &BackfillRequest{}); p != nil {
		p.Write(w)
		return
	}
	h.want(w, r, true)
}

func (h *Handler) stopBackfill(w http.ResponseWriter, r *http.Request) { h.want(w, r, false) }

func (h *Handler) want(w http.ResponseWriter, r *http.Request, more bool) {
	b, err := h.controller.Want(r.Context(), more)
	if err != nil {
		refuseAs(w, http.StatusConflict, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", backfillOf(b))
}

func (h *Handler) backfill(w http.ResponseWriter, r *http.Request) {
	b, err := h.controller.Backfilling(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", backfillOf(b))
}

func backfillOf(b admission.Backfilling) Backfill {
	out := Backfill{MatchID: b.Match, State: BackfillOff, Reason: b.Unavailable, OpenPlaces: b.Answer.GetOpenPlaces(), Failure: b.Failure}
	switch {
	case b.Unavailable != "":
		out.State = BackfillUnavailable
	case !b.Asked:
	case b.Answer == nil:
		out.State = BackfillWaiting
	case b.Answer.GetState() == torikumiv1.FillResponse_SEARCHING:
		out.State = BackfillSearching
	default:
		out.State = BackfillFull
	}
	return out
}
