package simulation_test

// redis is what pkg/claims keeps, with the rules of its scripts: TestClaimsModel
// compares the two.
type redis struct {
	holder  map[int]int // ticket → token
	matches map[int]*claim
	retired map[int]bool // tickets in whose place others were made
}

// claim is what is known of a token.
type claim struct {
	token  int
	state  string // held, confirmed, assigned or revoked
	until  int
	match  string
	server int
	over   map[int]bool // tickets that it has taken over
}

func newRedis() *redis {
	return &redis{holder: make(map[int]int), matches: make(map[int]*claim), retired: make(map[int]bool)}
}

// acquire returns claimed, revoked or taken; with taken, whose tickets, and how long
// to wait, -1 for good.
func (r *redis) acquire(token int, tickets []int, hold, now int) (answer string, taken []int, wait int) {
	if c := r.matches[token]; c != nil {
		if c.state == "revoked" {
			return "revoked", nil, 0
		}
		return "claimed", nil, 0
	}
	var stale []*claim
	over := make(map[int]bool)
	for _, t := range tickets {
		holder, ok := r.holder[t]
		c := r.matches[holder]
		if !r.retired[t] && (!ok || c == nil) {
			continue
		}
		switch {
		case r.retired[t]:
			taken, wait = append(taken, t), -1
		case c.state == "assigned":
			taken, wait = append(taken, t), -1
		case c.state != "revoked" && c.until > now:
			taken = append(taken, t)
			if wait >= 0 {
				wait = max(wait, c.until-now)
			}
		default:
			stale = append(stale, c)
			over[t] = true
		}
	}
	if len(taken) > 0 {
		return "taken", taken, wait
	}
	for _, c := range stale {
		c.state = "revoked"
	}
	for _, t := range tickets {
		r.holder[t] = token
	}
	r.matches[token] = &claim{token: token, state: "held", until: now + hold, over: over}
	return "claimed", nil, 0
}

// set changes the state, and returns the state after that; empty if nothing is known.
func (r *redis) set(token int, state, match string, server int) string {
	c := r.matches[token]
	switch {
	case c == nil:
		return ""
	case c.state == "revoked":
		return c.state
	case state == "confirmed":
		c.match, c.server = match, server
		if c.state == "assigned" {
			return c.state
		}
	case state == "abandoned" && c.state == "assigned":
		return c.state
	case state == "abandoned":
		state = "revoked"
	}
	c.state = state
	return state
}

func (r *redis) drop(token int, tickets []int) {
	c, kept := r.matches[token], false
	for _, t := range tickets {
		switch {
		case r.retired[t], r.holder[t] != token:
		case c != nil && c.over[t]:
			kept = true
		default:
			delete(r.holder, t)
		}
	}
	if kept {
		c.state = "revoked"
	} else {
		delete(r.matches, token)
	}
}

// check returns unclaimed, deliver, wait or revoked, and with deliver what.
func (r *redis) check(ticket int, match string, server, now int) (verdict string, to *claim) {
	holder, ok := r.holder[ticket]
	c := r.matches[holder]
	switch {
	case r.retired[ticket]:
		return "revoked", nil
	case !ok || c == nil:
		return "unclaimed", nil
	}
	switch {
	case (c.state == "held" || c.state == "confirmed") && c.until <= now:
		c.state = "revoked"
	case c.state == "confirmed" && c.match == match && c.server == server:
		c.state = "assigned"
	}
	switch {
	case c.state == "assigned" && c.server != 0:
		return "deliver", c
	case c.state == "revoked":
		return "revoked", nil
	case c.state == "assigned":
		return "unclaimed", nil
	}
	return "wait", nil
}

// retire reports whether another ticket may be made in the place of one.
func (r *redis) retire(ticket int, assigned bool, now int) bool {
	holder, ok := r.holder[ticket]
	if c := r.matches[holder]; ok && c != nil && !r.retired[ticket] {
		if c.state == "assigned" && !assigned || (c.state == "held" || c.state == "confirmed") && c.until > now {
			return false
		}
		if c.state != "assigned" {
			c.state = "revoked"
		}
	}
	r.retired[ticket] = true
	return true
}
