package sdkserver

import (
	"torikumi/miniagones/internal/counts"
	sdkpb "torikumi/proto/agones/sdk"
)

// ShowCounts writes a server's counters, lists and players as the SDK shows them.
func ShowCounts(out *sdkpb.GameServer_Status, of counts.Set) {
	if len(of.Counters) > 0 {
		out.Counters = make(map[string]*sdkpb.GameServer_Status_CounterStatus)
	}
	for name, c := range of.Counters {
		out.Counters[name] = &sdkpb.GameServer_Status_CounterStatus{Count: c.Count, Capacity: c.Capacity}
	}
	if len(of.Lists) > 0 {
		out.Lists = make(map[string]*sdkpb.GameServer_Status_ListStatus)
	}
	if p := of.Players; p != nil {
		out.Players = &sdkpb.GameServer_Status_PlayerStatus{Count: int64(len(p.IDs)), Capacity: p.Capacity, Ids: p.IDs}
	}
	for name, l := range of.Lists {
		out.Lists[name] = &sdkpb.GameServer_Status_ListStatus{Capacity: l.Capacity, Values: l.Values}
	}
}
