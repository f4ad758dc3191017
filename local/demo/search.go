package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"torikumi/local/issuer"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

type place struct {
	connection, jwt, match string
	// again asks for a new join token; nil where there is no ticket to ask by.
	again func(context.Context) (string, error)
}

// access is how players reach the frontend and the issuer.
type access struct {
	http                *http.Client
	frontend, issuerURL string
	grpc                torikumiv1.FrontendServiceClient
	playToken           string
}

func newAccess(frontend, issuerURL string, conn *grpc.ClientConn, playToken string) *access {
	t := &http.Transport{MaxIdleConnsPerHost: 64}
	return &access{http: &http.Client{Transport: t}, frontend: frontend, issuerURL: issuerURL, grpc: torikumiv1.NewFrontendServiceClient(conn), playToken: playToken}
}

// call makes one HTTP request and decodes the answer, which has to be 200.
func (a *access) call(ctx context.Context, method, target, bearer string, body, answer any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, bytes.TrimSpace(b))
	}
	if m, ok := answer.(proto.Message); ok {
		return protojson.Unmarshal(b, m)
	}
	return json.Unmarshal(b, answer)
}

func (a *access) playerToken(ctx context.Context, player string) (string, error) {
	var answer struct{ Token string }
	err := a.call(ctx, http.MethodPost, a.issuerURL+issuer.TokenPath, "", map[string]string{"player": player}, &answer)
	return answer.Token, err
}

// search presses Play for the ticket's party and returns where each of its
// players goes. tokens are the player tokens, the first is the leader's.
func (a *access) search(ctx context.Context, s ticket, tokens []string) ([]place, error) {
	if s.method == byPlay {
		p, err := a.play(ctx, s)
		return []place{p}, err
	}
	created, err := a.create(ctx, s, tokens)
	if err != nil {
		return nil, err
	}
	places := make([]place, len(tokens))
	for i, bearer := range tokens { // each member of a party asks with their own token
		t, err := a.await(ctx, s.method, created.GetId(), bearer, tokens)
		if err != nil {
			return nil, err
		}
		if t.GetState() != torikumiv1.TicketState_ASSIGNED {
			return nil, fmt.Errorf("the search ended as %s", t.GetState())
		}
		places[i] = place{connection: t.GetServer().GetConnection(), jwt: t.GetJoinToken().GetJwt(), match: t.GetServer().GetMatchId(),
			again: func(ctx context.Context) (string, error) {
				fresh, err := a.grpc.CreateJoinToken(as(ctx, bearer), &torikumiv1.CreateJoinTokenRequest{TicketId: created.GetId()})
				return fresh.GetJwt(), err
			}}
	}
	return places, nil
}

// create makes the ticket of a party's leader, and lets the others join, each with
// their own token.
func (a *access) create(ctx context.Context, s ticket, tokens []string) (*torikumiv1.Ticket, error) {
	req := &torikumiv1.CreateTicketRequest{Queue: s.queue, Region: s.region, Players: s.players[:1]}
	if len(s.players) > 1 {
		req.Party = &torikumiv1.PartyRequest{}
		for _, p := range s.players[1:] {
			req.Party.Invited = append(req.Party.Invited, p.GetId())
		}
	}
	created := new(torikumiv1.Ticket)
	err := a.post(ctx, s.method, "/v1/tickets", tokens[0], req, created, func(ctx context.Context) (*torikumiv1.Ticket, error) {
		return a.grpc.CreateTicket(ctx, req)
	})
	if err != nil {
		return nil, fmt.Errorf("create ticket: %w", err)
	}
	for i, p := range s.players[1:] {
		join := &torikumiv1.JoinPartyRequest{Code: created.GetParty().GetCode(), Player: p}
		joined := new(torikumiv1.Ticket)
		err := a.post(ctx, s.method, "/v1/parties/join", tokens[1+i], join, joined, func(ctx context.Context) (*torikumiv1.Ticket, error) {
			return a.grpc.JoinParty(ctx, join)
		})
		if err != nil {
			return nil, fmt.Errorf("join party: %w", err)
		}
	}
	return created, nil
}

// post makes a call over HTTP, or over gRPC as the method is.
func (a *access) post(
	ctx context.Context, m method, path, bearer string, body proto.Message, answer *torikumiv1.Ticket,
	overGRPC func(context.Context) (*torikumiv1.Ticket, error),
) error {
	if m == byGRPC {
		t, err := overGRPC(as(ctx, bearer))
		if err == nil {
			proto.Merge(answer, t)
		}
		return err
	}
	b, err := protojson.Marshal(body)
	if err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, a.frontend+path, bearer, json.RawMessage(b), answer)
}

func as(ctx context.Context, bearer string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer)
}

// accept has all players of a ticket accept a match that is proposed.
func (a *access) accept(ctx context.Context, t *torikumiv1.Ticket, tokens []string) error {
	asked := t.GetAcceptance()
	if t.GetState() != torikumiv1.TicketState_ACCEPTING || len(asked.GetAccepted()) == len(tokens) {
		return nil
	}
	for _, bearer := range tokens {
		_, err := a.grpc.AcceptTicket(as(ctx, bearer), &torikumiv1.AcceptTicketRequest{TicketId: t.GetId(), ProposalId: asked.GetProposalId()})
		if err != nil && status.Code(err) != codes.FailedPrecondition { // it is not proposed any more
			return fmt.Errorf("accept: %w", err)
		}
	}
	return nil
}

// await follows a ticket with one player's token, and accepts with those of all.
func (a *access) await(ctx context.Context, m method, id, bearer string, tokens []string) (*torikumiv1.Ticket, error) {
	goesOn := func(t *torikumiv1.Ticket) bool {
		return t.GetState() == torikumiv1.TicketState_SEARCHING || t.GetState() == torikumiv1.TicketState_ACCEPTING
	}
	switch m {
	case byEvents:
		return a.events(ctx, id, bearer, tokens)
	case byGRPC:
		stream, err := a.grpc.WatchTicket(as(ctx, bearer), &torikumiv1.WatchTicketRequest{TicketId: id})
		for err == nil {
			var t *torikumiv1.Ticket
			if t, err = stream.Recv(); err == nil && goesOn(t) {
				err = a.accept(ctx, t, tokens)
			} else if err == nil {
				_, rest := stream.Recv() // the stream ends after the search
				if !errors.Is(rest, io.EOF) {
					return nil, fmt.Errorf("watch ticket: want the end of the stream, got %w", rest)
				}
				return t, nil
			}
		}
		return nil, fmt.Errorf("watch ticket: %w", err)
	default:
		for {
			t := new(torikumiv1.Ticket)
			if err := a.call(ctx, http.MethodGet, a.frontend+"/v1/tickets/"+id+"/wait?timeout=20s", bearer, nil, t); err != nil {
				return nil, fmt.Errorf("wait for ticket: %w", err)
			}
			if !goesOn(t) {
				return t, nil
			}
			if err := a.accept(ctx, t, tokens); err != nil {
				return nil, err
			}
		}
	}
}

// events reads the stream of server-sent events to its end.
func (a *access) events(ctx context.Context, id, bearer string, tokens []string) (*torikumiv1.Ticket, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.frontend+"/v1/tickets/"+id+"/events", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("events: %s", resp.Status)
	}
	last := new(torikumiv1.Ticket)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
			if err := protojson.Unmarshal([]byte(data), last); err != nil {
				return nil, fmt.Errorf("events: %w", err)
			}
			if err := a.accept(ctx, last, tokens); err != nil {
				return nil, err
			}
		}
	}
	return last, lines.Err()
}

// play uses the route of clients that share one token.
func (a *access) play(ctx context.Context, s ticket) (place, error) {
	var answer struct {
		Status string
		Server struct{ Connection string }
		JWT    string
	}
	skill := s.players[0].GetAttributes()[contract.SkillArg].GetNumber()
	target := fmt.Sprintf("%s/play/%s?skill=%g&latency=%d", a.frontend, url.PathEscape(s.region), skill, s.players[0].GetLatencies()[s.region])
	if err := a.call(ctx, http.MethodGet, target, a.playToken, nil, &answer); err != nil {
		return place{}, err
	}
	if answer.Status != "matched" {
		return place{}, fmt.Errorf("play ended as %q", answer.Status)
	}
	return place{connection: answer.Server.Connection, jwt: answer.JWT}, nil
}
