// Package watch follows the game server that a process belongs to, through the
// SDK of Agones on localhost. Gate and dedicated server both stand on it: what
// it reports decides whether players may come in, and for which match.
package watch

import (
	"strconv"

	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/proto/agones/sdk"
)

// View is what the SDK has told of the game server.
type View struct {
	Namespace, Name string
	// UID tells a server from a later one of the same name.
	UID   string
	State string
	// Match is the label torikumi/match; it stays on a server that is Ready
	// again.
	Match string
	// Shared says that the server may have several matches, none of which is Match.
	Shared bool
	// Roster is the annotation torikumi/roster, as it stands.
	Roster string
	// Data is the annotation torikumi/match-data, as it stands.
	Data string
	// Admitted is the match of the last player whose coming was told by
	// SetAdmitted.
	Admitted string
	// Deleted says that somebody has deleted the server.
	Deleted bool

	version string
}

// Starting reports that the server has not said Ready yet.
func (v View) Starting() bool {
	switch v.State {
	case agones.PortAllocation, agones.Creating, agones.Starting, agones.Scheduled:
		return true
	}
	return false
}

// Ending reports that the server will not come back.
func (v View) Ending() bool {
	switch v.State {
	case agones.Shutdown, agones.Error, agones.Unhealthy:
		return true
	}
	return v.Deleted
}

func viewOf(gs *sdk.GameServer) View {
	meta := gs.GetObjectMeta()
	return View{
		Namespace: meta.GetNamespace(),
		Name:      meta.GetName(),
		UID:       meta.GetUid(),
		State:     gs.GetStatus().GetState(),
		Match:     meta.GetLabels()[contract.MatchLabel],
		Shared:    meta.GetLabels()[contract.SharedLabel] == "true",
		Roster:    meta.GetAnnotations()[contract.RosterAnnotation],
		Data:      meta.GetAnnotations()[contract.MatchDataAnnotation],
		Admitted:  meta.GetAnnotations()[contract.AdmittedAnnotation],
		Deleted:   meta.GetDeletionTimestamp() != 0,
		version:   meta.GetResourceVersion(),
	}
}

// olderThan reports whether v is certainly the older of two views of one server.
// Kubernetes counts resource versions up.
func (v View) olderThan(w View) bool {
	a, errA := strconv.ParseUint(v.version, 10, 64)
	b, errB := strconv.ParseUint(w.version, 10, 64)
	return v.UID == w.UID && errA == nil && errB == nil && a < b
}
