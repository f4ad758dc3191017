package fake

// The names of calls, in Fault.Call and Call.Name.
const (
	Insert         = "instances.insert"
	Get            = "instances.get"
	List           = "instances.list"
	Delete         = "instances.delete"
	SetMetadata    = "instances.setMetadata"
	OperationsGet  = "zoneOperations.get"
	OperationsList = "zoneOperations.list"
	OperationsWait = "zoneOperations.wait"
	ImagesGet      = "images.get"
)

// Fault is something that goes wrong with a call. Which calls: all, but for
// the fields that are set.
type Fault struct {
	Call string
	Zone string
	Name string
	// Skip lets as many calls pass first.
	Skip int
	// Times is how often; once if 0, for good if below 0.
	Times int

	// Reply is answered. The call is not carried out, unless Commit is set: a
	// 503 after commit.
	Reply *Reply
	// Cut ends the connection without an answer; with Commit, a lost reply.
	Cut bool
	// CutBody ends the connection in the middle of the answer. The call is
	// carried out.
	CutBody bool
	// Hang never answers. It ends when the client has gone.
	Hang bool
	// Commit carries out the call before Reply, Cut or Hang.
	Commit bool

	// Fail accepts an insert or delete, and lets its operation fail.
	Fail *Failure
	// NeverStarts leaves an inserted VM at STAGING.
	NeverStarts bool
	// NeverBoots makes an inserted VM RUNNING, with a guest that does not
	// come up.
	NeverBoots bool
	// Warning is the code of one on a page of a list, with half of its items
	// left out.
	Warning string
}

// Reply is an error as the API sends it.
type Reply struct {
	Status  int
	Reason  string
	Message string
	// Info is the reason of an ErrorInfo in the details, if any.
	Info string
	// Body is sent instead of all that, as text/html.
	Body string
}

// Failure is how an operation fails. Without HTTPStatus it is of the kind that
// the client library takes for a success.
type Failure struct {
	HTTPStatus  int
	HTTPMessage string
	Code        string
	Message     string
	Reason      string // of an ErrorInfo
}

// Unavailable is a 503 that says nothing.
func Unavailable() *Reply {
	return &Reply{Status: 503, Reason: "backendError", Message: "The service is currently unavailable."}
}

// QuotaExceeded is what an insert above a quota is answered.
func QuotaExceeded() *Reply {
	return &Reply{Status: 403, Reason: "quotaExceeded", Message: "Quota 'N2_CPUS' exceeded.  Limit: 0.0 in region europe-west3."}
}

// QuotaFailure is the same of an operation.
func QuotaFailure(httpStatus int) *Failure {
	f := &Failure{Code: "QUOTA_EXCEEDED", Message: "Quota 'N2_CPUS' exceeded.  Limit: 0.0 in region europe-west3."}
	if httpStatus != 0 {
		f.HTTPStatus, f.HTTPMessage = httpStatus, "FORBIDDEN"
	}
	return f
}

// Stockout is how an insert fails where the zone has no such VMs. Compute
// Engine says it with and without details, with and without an HTTP status.
func Stockout(details bool, httpStatus int) *Failure {
	f := &Failure{Code: "ZONE_RESOURCE_POOL_EXHAUSTED",
		Message: "The zone 'projects/studio-games/zones/europe-west3-a' does not have enough resources available to fulfill the request.  Try a different zone, or try again later."}
	if details {
		f.Code += "_WITH_DETAILS"
		f.Message += " '(resource type:compute)'"
		f.Reason = "resource_availability"
	}
	if httpStatus != 0 {
		f.HTTPStatus, f.HTTPMessage = httpStatus, "SERVICE UNAVAILABLE"
	}
	return f
}

// Internal is how an operation fails for no reason that anybody else knows.
func Internal() *Failure {
	return &Failure{Code: "INTERNAL_ERROR", Message: "Internal error. Please try again or contact Google Support. (Code: '-4823098274')"}
}

// Inject adds faults. Of those that match a call the first is taken.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Heal drops all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault finds the one for a call, and uses it up. It needs the lock.
func (s *Server) fault(c Call) Fault {
	for _, f := range s.faults {
		if f.Times == 0 || f.Call != "" && f.Call != c.Name || f.Zone != "" && f.Zone != c.Zone || f.Name != "" && f.Name != c.Target {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

// instead reports whether the call is not to be carried out.
func (f *Fault) instead() bool { return (f.Reply != nil || f.Cut || f.Hang) && !f.Commit }
