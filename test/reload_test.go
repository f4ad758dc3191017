//go:build unix

package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// apart gives the director queues of its own, as while a change is on its way.
type apart struct {
	suite.InProcess
	director string
}

func (a apart) Launch(ctx context.Context, name string, args []string) (suite.Instance, error) {
	if i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--queues=") }); i >= 0 && name == suite.Director {
		args = slices.Clone(args)
		args[i] = "--queues=" + a.director
	}
	return a.InProcess.Launch(ctx, name, args)
}

// reloading is a suite whose frontend and director each read files that change.
type reloading struct {
	*testing.T
	frontend, director string // folders
	players            torikumiv1.FrontendServiceClient
	suite              *suite.Suite
	logs               *output
}

// duelRules are a rule set for two players whose skill differs by at most distance.
func duelRules(distance int) string {
	return fmt.Sprintf(`{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}],
		"rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": %d}]}`, distance)
}

const (
	onlyDuel = "queues: [{name: duel, rule_set: duel.json}]"
	withRaid = "queues: [{name: duel, rule_set: duel.json}, {name: raid, rule_set: duel.json}]"
)

func startReloading(t *testing.T) *reloading {
	t.Helper()
	r := &reloading{T: t, frontend: t.TempDir(), director: t.TempDir(), logs: new(output)}
	for _, dir := range []string{r.frontend, r.director} {
		r.write(dir, "duel.json", duelRules(100))
		r.write(dir, "queues.yaml", onlyDuel)
	}
	o := quiet(apart{director: filepath.Join(r.director, "queues.yaml")}, r.logs)
	o.Queues, o.Virtual, o.VirtualSession = filepath.Join(r.frontend, "queues.yaml"), 20, patience
	var err error
	if r.suite, err = suite.Start(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, r.logs)
	}
	t.Cleanup(func() {
		if err := r.suite.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := rpc.Dial(r.suite.Addr(suite.Frontend).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r.players = torikumiv1.NewFrontendServiceClient(conn)
	return r
}

func (r *reloading) write(dir, name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

func (r *reloading) as(player string) context.Context {
	r.Helper()
	return metadata.AppendToOutgoingContext(r.Context(), "authorization", "Bearer "+signIn(r.Context(), r.T, r.suite, player))
}

// search makes a ticket as soon as there is the queue.
func (r *reloading) search(player, queue string, skill float64) string {
	r.Helper()
	ctx := r.as(player)
	id := ""
	eventually.NoError(r, "a ticket in "+queue, func() error {
		made, err := r.players.CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: queue, Players: []*torikumiv1.Player{{Attributes: map[string]*torikumiv1.Attribute{
			"skill": {Value: &torikumiv1.Attribute_Number{Number: skill}}}}}})
		if err != nil && status.Code(err) != codes.InvalidArgument {
			r.Fatal(err)
		}
		id = made.GetId()
		return err
	})
	return id
}

func (r *reloading) ticket(player, id string) *torikumiv1.Ticket {
	r.Helper()
	got, err := r.players.GetTicket(r.as(player), &torikumiv1.GetTicketRequest{TicketId: id})
	if err != nil {
		r.Fatal(err)
	}
	return got
}

func (r *reloading) matched(player, id string) {
	r.Helper()
	ctx := r.as(player)
	eventually.NoError(r, player+" is matched", func() error {
		got, err := r.players.GetTicket(ctx, &torikumiv1.GetTicketRequest{TicketId: id})
		if err == nil && got.GetState() != torikumiv1.TicketState_ASSIGNED {
			err = fmt.Errorf("%v", got)
		}
		return err
	})
}

// waits sees that a ticket waits until the match function has looked at it.
func (r *reloading) waits(player, id string) {
	r.Helper()
	ctx := r.as(player)
	eventually.NoError(r, player+" hears why", func() error {
		got, err := r.players.GetTicket(ctx, &torikumiv1.GetTicketRequest{TicketId: id})
		if err == nil && got.GetState() != torikumiv1.TicketState_SEARCHING {
			r.Fatalf("%s: %v", player, got)
		}
		if err == nil && got.GetReason() == "" {
			err = fmt.Errorf("no reason: %v", got)
		}
		return err
	})
}

// TestWaitingTicketsAreJudgedByTheNewRules: only the director has the new rule set.
func TestWaitingTicketsAreJudgedByTheNewRules(t *testing.T) {
	r := startReloading(t)
	ann, bob := r.search("ann", "duel", 1000), r.search("bob", "duel", 2000)
	r.waits("ann", ann)
	r.waits("bob", bob)
	r.write(r.director, "duel.json", duelRules(5000))
	r.matched("ann", ann)
	r.matched("bob", bob)
}

// TestQueuesDiffer: a new queue that one of both does not know yet, and one that one
// of both knows no more, lose nobody.
func TestQueuesDiffer(t *testing.T) {
	r := startReloading(t)
	r.write(r.frontend, "queues.yaml", withRaid)
	ann := r.search("ann", "raid", 1000)
	cat := r.search("cat", "raid", 3000)
	if got := r.ticket("ann", ann); got.GetState() != torikumiv1.TicketState_SEARCHING {
		t.Errorf("the director does not know the queue: %v", got)
	}
	if got, err := r.players.CancelTicket(r.as("cat"), &torikumiv1.CancelTicketRequest{TicketId: cat}); err != nil || got.GetState() != torikumiv1.TicketState_CANCELLED {
		t.Errorf("cancel: %v, %v", got, err)
	}
	bob := r.search("bob", "raid", 1050)
	r.write(r.director, "queues.yaml", withRaid)
	r.matched("ann", ann)
	r.matched("bob", bob)

	// The director is the first to know that the queue is gone: a queue that is new
	// in the same file shows that it has it.
	r.write(r.director, "queues.yaml", strings.Replace(withRaid, "raid", "other", 1))
	r.write(r.frontend, "queues.yaml", strings.Replace(withRaid, "]", ", {name: other, rule_set: duel.json}]", 1))
	dan, eve := r.search("dan", "other", 1), r.search("eve", "other", 1)
	r.matched("dan", dan)
	r.matched("eve", eve)
	gil, hal := r.search("gil", "raid", 1), r.search("hal", "raid", 1)
	r.matched("gil", gil)
	r.matched("hal", hal)

	// Then the frontend: who waits is told, and can leave.
	ivy, joe := r.search("ivy", "raid", 1), r.search("joe", "raid", 500)
	r.write(r.frontend, "queues.yaml", onlyDuel)
	eventually.True(t, "ivy hears that the queue is gone", func() bool {
		return strings.Contains(r.ticket("ivy", ivy).GetReason(), "takes no new tickets")
	})
	_, err := r.players.CreateTicket(r.as("fay"), &torikumiv1.CreateTicketRequest{Queue: "raid"})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(fmt.Sprint(status.Convert(err).Details()...), "queue") {
		t.Errorf("a new ticket: %v", err)
	}
	if got, err := r.players.CancelTicket(r.as("joe"), &torikumiv1.CancelTicketRequest{TicketId: joe}); err != nil || got.GetState() != torikumiv1.TicketState_CANCELLED {
		t.Errorf("cancel: %v, %v", got, err)
	}

	r.write(r.frontend, "queues.yaml", strings.Replace(onlyDuel, "}", ", allocation: {labels: {game: duel}}}", 1))
	eventually.True(t, "it is said that the fleet is for other queues", func() bool {
		return strings.Contains(r.logs.String(), "no game server has game=duel")
	})
}
