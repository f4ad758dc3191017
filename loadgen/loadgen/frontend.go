package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TokenPath is where the development issuer makes player tokens.
const TokenPath = "/v1/player-tokens"

// frontend is our player API, over gRPC for watches and over HTTP for the rest.
type frontend struct {
	cfg  *Config
	http *http.Client
	connections[torikumiv1.FrontendServiceClient]
	// requests and bodies are the same tickets, region by region.
	requests [][]*torikumiv1.CreateTicketRequest
	bodies   [][][]byte

	mu sync.Mutex
	// free are the tokens of the players who don't search: each does once at a time.
	free []string
}

const (
	// signIns is how many player tokens are fetched at a time.
	signIns = 4
	// idleConns is how many HTTP connections are kept for the next request.
	idleConns = 2048
	// maxAnswer bounds an answer's body in bytes.
	maxAnswer = 1 << 20
)

// otherMatch is how long a player who has got a match, and does not join it, is not there
// for another: nobody searches who plays, and "torikumi up" keeps a virtual server
// allocated for 5 s.
const otherMatch = 10 * time.Second

var errNoPlayer = status.Error(codes.ResourceExhausted, "no player is free: all wait for a match (see --players)")

// newFrontend makes the target and signs the players of total tickets in.
func newFrontend(ctx context.Context, cfg *Config, total int) (*frontend, error) {
	f := &frontend{cfg: cfg, http: &http.Client{Transport: &http.Transport{
		MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{RootCAs: cfg.authorities},
	}}}
	if err := f.encode(); err != nil {
		return nil, err
	}
	var err error
	if f.connections, err = dial(cfg.FrontendGRPC, cfg.Connections, torikumiv1.NewFrontendServiceClient); err != nil {
		return nil, err
	}
	n := cfg.Players
	if n == 0 {
		n = max(int(math.Ceil((otherMatch+cfg.Stay).Seconds()*cfg.Rate)), 100)
	}
	if err := f.signIn(ctx, min(n, total)); err != nil {
		f.close()
		return nil, fmt.Errorf("sign players in at %s: %w", cfg.Issuer, err)
	}
	return f, nil
}

func (f *frontend) encode() error {
	rng := rand.New(rand.NewPCG(uint64(f.cfg.Seed), 0))
	for r := range f.cfg.regions() {
		var requests []*torikumiv1.CreateTicketRequest
		var bodies [][]byte
		for range shapes {
			req := &torikumiv1.CreateTicketRequest{Queue: f.cfg.Queue, Players: []*torikumiv1.Player{{
				Attributes: map[string]*torikumiv1.Attribute{
					contract.SkillArg: {Value: &torikumiv1.Attribute_Number{Number: f.cfg.Skill + f.cfg.SkillDev*rng.NormFloat64()}},
				},
			}}}
			if len(f.cfg.Regions) > 0 {
				req.Region = f.cfg.Regions[r]
			}
			b, err := protojson.Marshal(req)
			if err != nil {
				return fmt.Errorf("encode a ticket: %w", err)
			}
			requests, bodies = append(requests, req), append(bodies, b)
		}
		f.requests, f.bodies = append(f.requests, requests), append(f.bodies, bodies)
	}
	return nil
}

// signIn fetches the tokens of n players before the first ticket is due: each
// is a signature, which the target's machine is not to make while it is
// measured.
func (f *frontend) signIn(ctx context.Context, n int) error {
	run := rand.Uint32() // of two runs against one target, none has the other's players
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(signIns)
	f.free = make([]string, n)
	for i := range n {
		g.Go(func() error {
			body, err := json.Marshal(map[string]string{"player": fmt.Sprintf("load-%08x-%d", run, i)})
			if err != nil {
				return err
			}
			var answer struct{ Token string }
			b, err := f.call(ctx, http.MethodPost, f.cfg.Issuer+TokenPath, "", body)
			if err == nil {
				err = json.Unmarshal(b, &answer)
			}
			f.free[i] = "Bearer " + answer.Token
			return err
		})
	}
	return g.Wait()
}

// ping fails unless both the HTTP and the gRPC address answer, of those used.
func (f *frontend) ping(ctx context.Context) error {
	if f.cfg.Wait != Watch {
		if _, err := f.call(ctx, http.MethodGet, f.cfg.Frontend+token.JWKSPath, "", nil); err != nil {
			return fmt.Errorf("the frontend at %s does not answer: %w", f.cfg.Frontend, err)
		}
		return nil
	}
	for _, c := range f.clients {
		if _, err := c.GetTicket(ctx, &torikumiv1.GetTicketRequest{TicketId: "none"}); !answered(err) {
			return fmt.Errorf("the frontend at %s does not answer: %w", f.cfg.FrontendGRPC, err)
		}
	}
	return nil
}

// acquire returns a player who does not search, the one who has rested longest;
// empty: there is none.
func (f *frontend) acquire() (bearer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.free) > 0 {
		bearer, f.free = f.free[0], f.free[1:]
	}
	return bearer
}

func (f *frontend) release(bearer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = append(f.free, bearer)
}

func (f *frontend) create(ctx context.Context, i int) (ticket, error) {
	bearer := f.acquire()
	if bearer == "" {
		return ticket{}, errNoPlayer
	}
	r := i % len(f.bodies)
	t := ticket{region: r, conn: i % len(f.conns), bearer: bearer}
	shape := i / len(f.bodies) % shapes
	var made *torikumiv1.Ticket
	var err error
	if f.cfg.Wait == Watch {
		made, err = f.clients[t.conn].CreateTicket(as(ctx, bearer), f.requests[r][shape])
	} else {
		made, err = f.ticket(ctx, http.MethodPost, "", bearer, f.bodies[r][shape])
	}
	if err != nil {
		f.release(bearer)
		return ticket{}, err
	}
	t.id = made.GetId()
	return t, nil
}

func as(ctx context.Context, bearer string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", bearer)
}

// await waits again where the connection broke or the frontend was away, as
// game clients do.
func (f *frontend) await(ctx context.Context, t ticket, seen func(place)) error {
	wait := f.ask
	switch f.cfg.Wait {
	case Watch:
		wait = f.watch
	case SSE:
		wait = f.events
	}
	var backoff rpc.Backoff
	for {
		err := wait(ctx, t, seen)
		if status.Code(err) != codes.Unavailable || backoff.Wait(ctx) != nil {
			return err
		}
	}
}

// accept accepts a match that is proposed, once.
func (f *frontend) accept(ctx context.Context, t ticket, got *torikumiv1.Ticket) error {
	asked := got.GetAcceptance()
	if got.GetState() != torikumiv1.TicketState_ACCEPTING || len(asked.GetAccepted()) > 0 {
		return nil
	}
	var err error
	if f.cfg.Wait == Watch {
		_, err = f.clients[t.conn].AcceptTicket(as(ctx, t.bearer), &torikumiv1.AcceptTicketRequest{TicketId: t.id, ProposalId: asked.GetProposalId()})
	} else {
		_, err = f.ticket(ctx, http.MethodPost, "/"+t.id+"/accept?proposal_id="+asked.GetProposalId(), t.bearer, nil)
	}
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition: // 409: it is not proposed any more
		return nil
	}
	return err
}

// over says whether a search has ended, and how.
func over(t *torikumiv1.Ticket, seen func(place)) (bool, error) {
	switch t.GetState() {
	case torikumiv1.TicketState_ASSIGNED:
		seen(place{match: t.GetServer().GetMatchId(), connection: t.GetServer().GetConnection(), jwt: t.GetJoinToken().GetJwt()})
		return true, nil
	case torikumiv1.TicketState_CANCELLED, torikumiv1.TicketState_EXPIRED:
		return true, fmt.Errorf("%w: %s %s", errEnded, t.GetState(), t.GetReason())
	}
	return false, nil
}

// watch reads the stream to its end, as a change could follow the assignment.
func (f *frontend) watch(ctx context.Context, t ticket, seen func(place)) error {
	stream, err := f.clients[t.conn].WatchTicket(as(ctx, t.bearer), &torikumiv1.WatchTicketRequest{TicketId: t.id})
	if err != nil {
		return err
	}
	assigned := false
	for {
		got, err := stream.Recv()
		if err != nil {
			if assigned {
				return nil
			}
			return err
		}
		ended, err := over(got, seen)
		if err == nil {
			err = f.accept(ctx, t, got)
		}
		if err != nil {
			return err
		}
		assigned = assigned || ended
	}
}

// ask polls, at an interval or by requests that wait.
func (f *frontend) ask(ctx context.Context, t ticket, seen func(place)) error {
	path, pause := "/"+t.id, f.cfg.PollInterval
	if f.cfg.Wait == LongPoll {
		path, pause = path+"/wait?timeout=30s", time.Microsecond
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		got, err := f.ticket(ctx, http.MethodGet, path, t.bearer, nil)
		if err != nil {
			return err
		}
		if ended, err := over(got, seen); ended {
			return err
		}
		if err := f.accept(ctx, t, got); err != nil {
			return err
		}
		tick.Reset(pause)
	}
}

func (f *frontend) events(ctx context.Context, t ticket, seen func(place)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.cfg.Frontend+"/v1/tickets/"+t.id+"/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", t.bearer)
	resp, err := f.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // for the message alone
		return httpError(resp, b)
	}
	assigned := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		got, err := parsePlayerTicket(data)
		if err != nil {
			return err
		}
		ended, err := over(got, seen)
		if err == nil {
			err = f.accept(ctx, t, got)
		}
		if err != nil {
			return err
		}
		assigned = assigned || ended
	}
	if assigned {
		return nil
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Errorf(codes.Unavailable, "the events ended before the search did: %v", lines.Err())
}

// abandon ends the search, so that its player can search again.
func (f *frontend) abandon(ctx context.Context, t ticket) {
	defer f.release(t.bearer)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	// What is left expires by itself.
	if f.cfg.Wait == Watch {
		_, _ = f.clients[t.conn].CancelTicket(as(ctx, t.bearer), &torikumiv1.CancelTicketRequest{TicketId: t.id})
		return
	}
	_, _ = f.ticket(ctx, http.MethodDelete, "/"+t.id, t.bearer, nil)
}

func (f *frontend) ticket(ctx context.Context, method, path, bearer string, body []byte) (*torikumiv1.Ticket, error) {
	b, err := f.call(ctx, method, f.cfg.Frontend+"/v1/tickets"+path, bearer, body)
	if err != nil {
		return nil, err
	}
	return parsePlayerTicket(b)
}

func parsePlayerTicket(b []byte) (*torikumiv1.Ticket, error) {
	t := new(torikumiv1.Ticket)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("the answer is no ticket: %w", err)
	}
	return t, nil
}

// call makes one HTTP request, whose answer has to be 200.
func (f *frontend) call(ctx context.Context, method, target, bearer string, body []byte) ([]byte, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		req.Header.Set("Authorization", bearer)
	}
	resp, err := f.do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, httpError(resp, b)
	}
	return b, nil
}

// do fails with Unavailable where there was no answer.
func (f *frontend) do(req *http.Request) (*http.Response, error) {
	resp, err := f.http.Do(req)
	if err != nil && req.Context().Err() != nil {
		return nil, status.FromContextError(req.Context().Err()).Err()
	}
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return resp, nil
}

// httpError is an answer other than 200, under the gRPC code that stands for
// it, so that reports count both alike.
func httpError(resp *http.Response, body []byte) error {
	code := codes.Unknown
	switch resp.StatusCode {
	case http.StatusBadRequest:
		code = codes.InvalidArgument
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusForbidden:
		code = codes.PermissionDenied
	case http.StatusNotFound:
		code = codes.NotFound
	case http.StatusConflict:
		code = codes.AlreadyExists
	case http.StatusTooManyRequests:
		code = codes.ResourceExhausted
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		code = codes.Unavailable
	case http.StatusGatewayTimeout:
		code = codes.DeadlineExceeded
	}
	return status.Errorf(code, "%s: %s", resp.Status, strings.TrimSpace(string(body)))
}

func (f *frontend) close() {
	f.http.CloseIdleConnections()
	f.connections.close()
}
