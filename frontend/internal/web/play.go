package web

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/contract"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// What a player is taken for who does not say.
const (
	defaultSkill   = 1500
	defaultLatency = 50
)

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

// playAnswers are both in the words of OpenAPI.
func playAnswers() object {
	text, whole := object{"type": "string"}, object{"type": "integer"}
	fields := func(properties object, required ...string) object {
		return object{"type": "object", "properties": properties, "required": required}
	}
	schema := fields(object{
		"status": object{"type": "string", "enum": []string{"matched", "timeout"}}, "ticket_id": text, "jwt": text, "reason": text,
		"server": fields(object{"ip": text, "port": whole, "connection": text}, "ip", "port", "connection"),
		"player": fields(object{"skill": object{"type": "number"}, "latency": whole, "region": text}, "skill", "latency", "region"),
	}, "status", "ticket_id", "player")
	content := object{"application/json": object{"schema": schema}}
	return object{
		"200": object{"description": "A match", "content": content},
		"408": object{"description": "No match in time", "content": content},
	}
}

// play is the route of the studio's existing clients: one request from "Play" to
// the server. The ticket lives no longer than the request.
func (s *server) play(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	asked, err := playParameters(r)
	if err != nil {
		return err
	}
	player := &torikumiv1.Player{Latencies: map[string]int32{asked.Region: asked.Latency}}
	// The default stands for what a client does not say, and not for what it is not
	// trusted with.
	if r.URL.Query().Has("skill") || s.o.Service.FromClient(s.o.PlayQueue, contract.SkillArg) {
		player.Attributes = map[string]*torikumiv1.Attribute{contract.SkillArg: {Value: &torikumiv1.Attribute_Number{Number: asked.Skill}}}
	}
	ended, err := s.o.Service.Play(r.Context(), caller, &torikumiv1.CreateTicketRequest{
		Queue: s.o.PlayQueue, Region: asked.Region, Players: []*torikumiv1.Player{player},
	}, s.o.PlayTimeout)
	if err != nil {
		return err
	}
	if skill, ok := ended.GetPlayers()[0].GetAttributes()[contract.SkillArg].GetValue().(*torikumiv1.Attribute_Number); ok {
		asked.Skill = skill.Number
	}
	a, code := playAnswer{Status: "timeout", TicketID: ended.GetId(), Player: asked, Reason: ended.GetReason()}, http.StatusRequestTimeout
	if ended.GetState() == torikumiv1.TicketState_ASSIGNED {
		at := ended.GetServer()
		a.Status, code = "matched", http.StatusOK
		a.Server = &playServer{IP: at.GetIp(), Port: at.GetPort(), Connection: at.GetConnection()}
		if a.JWT = ended.GetJoinToken().GetJwt(); a.JWT != "" {
			a.Reason = "" // else it says why there is none
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(a) // the client is gone if this fails
	return nil
}

// playParameters reads path and query. Unknown parameters are passed over, as
// clients of before may send some, unless they are known in other letters.
func playParameters(r *http.Request) (playPlayer, error) {
	p := playPlayer{Skill: defaultSkill, Latency: defaultLatency, Region: r.PathValue("region")}
	query, wrong := parameters(r)
	for name := range query {
		for _, known := range []string{"latency", "skill"} {
			if name != known && strings.EqualFold(strings.TrimSpace(name), known) {
				wrong = append(wrong, problem.Field{Field: short(name), Rule: "unknown parameter; did you mean " + known + "?"})
			}
		}
	}
	check := func(name, rule string, set func(string) bool) {
		switch values := query[name]; {
		case len(values) > 1:
			wrong = append(wrong, problem.Field{Field: name, Rule: "must be given once"})
		case len(values) == 1 && !set(values[0]):
			wrong = append(wrong, problem.Field{Field: name, Rule: rule})
		}
	}
	check("latency", "must be a whole number of milliseconds from 0 to 60000", func(text string) bool {
		n, ok := number(text)
		ok = ok && n >= 0 && n <= 60_000 && n == math.Trunc(n)
		if ok {
			p.Latency = int32(n)
		}
		return ok
	})
	if rule := api.CheckRegion(p.Region); rule != "" {
		wrong = append(wrong, problem.Field{Field: "region", Rule: rule})
	}
	check("skill", "must be a finite number, as JSON writes it", func(text string) (ok bool) {
		p.Skill, ok = number(text)
		return ok
	})
	if len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b problem.Field) int { return strings.Compare(a.Field, b.Field) })
		return p, refuse(http.StatusBadRequest, "the request breaks the rules of its parameters", wrong[:min(len(wrong), maxFaults)]...)
	}
	return p, nil
}

// number reads a number of a query, which is what it would be in a body. Package strconv
// takes more: 1_000, 0x1p4, +5 and Inf.
func number(text string) (n float64, ok bool) {
	err := json.Unmarshal([]byte(text), &n)
	return n, err == nil && text != "null" && !strings.ContainsAny(text, " \t\r\n")
}
