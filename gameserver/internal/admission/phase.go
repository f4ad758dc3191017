package admission

// Phase is where the server is in the life of a match.
type Phase string

const (
	// PhaseUnknown: the SDK has not told of the server.
	PhaseUnknown Phase = ""
	// PhaseWaiting: the server has no match.
	PhaseWaiting Phase = "Waiting"
	// PhaseOpen: the players of the match may come in.
	PhaseOpen Phase = "Open"
	// PhaseClosing: the end of the server is decided; nobody comes in.
	PhaseClosing Phase = "Closing"
	// PhaseEnding: Agones has been asked to end the server.
	PhaseEnding Phase = "Ending"
)

// Event is what changes a Phase.
type Event string

const (
	// EventFree: a view in which the server has no match.
	EventFree Event = "free"
	// EventAllocated: a view with an allocation that was not known.
	EventAllocated Event = "allocated"
	// EventEnd: the end is decided.
	EventEnd Event = "end"
	// EventStay: the newest view calls the end off.
	EventStay Event = "stay"
	// EventAsk: Agones is about to be asked.
	EventAsk Event = "ask"
)

// phases are all transitions; other events change nothing. What is asked of Agones
// cannot be taken back: only another allocation, or none, leads out of PhaseEnding.
var phases = map[Phase]map[Event]Phase{
	PhaseUnknown: {EventFree: PhaseWaiting, EventAllocated: PhaseOpen},
	PhaseWaiting: {EventAllocated: PhaseOpen},
	PhaseOpen:    {EventFree: PhaseWaiting, EventAllocated: PhaseOpen, EventEnd: PhaseClosing},
	PhaseClosing: {EventFree: PhaseWaiting, EventAllocated: PhaseOpen, EventStay: PhaseOpen, EventAsk: PhaseEnding},
	PhaseEnding:  {EventFree: PhaseWaiting, EventAllocated: PhaseOpen},
}

// Next returns the phase after an event.
func (p Phase) Next(e Event) Phase {
	if next, ok := phases[p][e]; ok {
		return next
	}
	return p
}

// allocated reports whether the server has a match.
func (p Phase) allocated() bool { return p == PhaseOpen || p == PhaseClosing || p == PhaseEnding }
