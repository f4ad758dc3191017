//go:build chaos && linux

package test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// The points of a call at which something can happen: when it has not reached the other
// end, and when it has had its effect and its answer is on its way.
const (
	before = "before"
	after  = "after"
	// each is at each message of a stream, which has not been passed on.
	each = "at each answer of"
)

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string                  { return "raw" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// callProxy passes the gRPC calls of one process on, whatever the service.
type callProxy struct {
	c    *chaos
	conn *grpc.ClientConn
	addr string
	// meet has happen what is to happen at a point of a call; nil: nothing is. An error
	// ends the call; else it goes on, with the context that is returned.
	meet func(ctx context.Context, method, phase string) (context.Context, error)
	// see gets the request before the call, and the answer after it. The context ends with
	// the process that has made the call.
	see func(ctx context.Context, method, phase string, message []byte)
}

// proxy passes the calls of a director on.
func (d *chaosDirector) proxy(to string) *callProxy {
	p := newCallProxy(d.c, to, d.see)
	p.meet = d.meet
	return p
}

func newCallProxy(c *chaos, to string, see func(ctx context.Context, method, phase string, message []byte)) *callProxy {
	t := c.t
	t.Helper()
	conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &callProxy{c: c, conn: conn, addr: lis.Addr().String(), see: see}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(p.handle))
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(lis) }()
	t.Cleanup(func() { server.Stop(); <-served; _ = conn.Close() })
	return p
}

// errLost is what a director reads of an answer that is lost.
var errLost = status.Error(codes.Unavailable, "the answer was lost")

// handle passes one call on. All methods take one message; all but FetchMatches answer
// with one.
func (p *callProxy) handle(_ any, in grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(in)
	method := filepath.Base(full)
	var request []byte
	if err := in.RecvMsg(&request); err != nil {
		return err
	}
	p.see(in.Context(), method, before, request)
	ctx, err := p.at(in.Context(), method, before)
	if err != nil {
		return err
	}
	out, err := p.call(ctx, full, &request)
	if err != nil {
		return err
	}
	var answer *[]byte // the last one, until it may be sent
	for {
		message := new([]byte)
		err := out.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if answer != nil || method == "FetchMatches" {
			if _, err := p.at(in.Context(), method, each); err != nil {
				return err
			}
			if err := in.SendMsg(message); err != nil {
				return err
			}
			continue
		}
		answer = message
	}
	if answer != nil {
		p.see(in.Context(), method, after, *answer)
	}
	if ctx != p.c.ctx { // else nobody waits any more
		if _, err := p.at(in.Context(), method, after); err != nil {
			return err
		}
	}
	if answer == nil {
		return nil
	}
	return in.SendMsg(answer)
}

// at is meet, if there is one. Else a call goes on even if who has made it dies.
func (p *callProxy) at(ctx context.Context, method, phase string) (context.Context, error) {
	if p.meet == nil {
		return p.c.ctx, nil
	}
	return p.meet(ctx, method, phase)
}

func (p *callProxy) call(ctx context.Context, method string, request *[]byte) (grpc.ClientStream, error) {
	out, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
	if err != nil {
		return nil, err
	}
	if err := out.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return out, out.CloseSend()
}

// script is a script of pkg/claims: its text, and by what it is called.
type script struct{ name, hash, source string }

func loadScripts(t *testing.T) (all []script) {
	t.Helper()
	for name, file := range map[string]string{"Acquire": "acquire.lua", setScript: "set.lua", "Drop": "drop.lua"} {
		source, err := os.ReadFile(filepath.Join("..", "pkg", "claims", file))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, script{name, redis.NewScript(string(source)).Hash(), string(source)})
	}
	return all
}

// setScript changes the state of a claim, in one of several ways.
const setScript = "set"

// scriptCall is a call of claims.Store.
type scriptCall struct {
	// method is Acquire, Confirm, MarkAssigned, Revoke or Drop, or the same of a claim on
	// the ticket of somebody who joins a running match: AcquireJoiner.
	method string
	// ticket is that of who joins; match and at are what is confirmed.
	ticket, match, at string
}

// scriptCallOf reads what calls a script from a command; false if nothing does.
func (c *chaos) scriptCallOf(command []byte) (call scriptCall, ok bool) {
	for _, s := range c.scripts {
		if bytes.Contains(command, []byte(s.hash)) || bytes.Contains(command, []byte(s.source)) {
			call.method, ok = s.name, true
		}
	}
	if !ok {
		return call, false
	}
	// An array of texts, each with its length before it.
	fields := bytes.Split(command, []byte("\r\n"))
	state := ""
	for i, f := range fields {
		token, joins := bytes.CutPrefix(f, []byte("backfill:"))
		switch text := string(f); {
		case joins:
			_, ticket, _ := bytes.Cut(token, []byte(":"))
			call.ticket = string(ticket)
		case state == "" && (text == "confirmed" || text == "assigned" || text == "revoked"):
			state = text
			if text == "confirmed" && len(fields) > i+6 {
				call.match, call.at = string(fields[i+2]), string(fields[i+6])
			}
		}
	}
	if call.method == setScript {
		call.method = map[string]string{"confirmed": "Confirm", "assigned": "MarkAssigned", "revoked": "Revoke"}[state]
	}
	if call.ticket != "" {
		call.method = map[string]string{
			"Acquire": "AcquireJoiner", "Confirm": "ConfirmJoiner", "MarkAssigned": "MarkJoinerAssigned", "Drop": "DropJoiner",
		}[call.method]
	}
	return call, true
}

// redisProxy passes one director's commands on to Redis.
type redisProxy struct {
	director *chaosDirector
	to, addr string
	conns    conns
}

func newRedisProxy(d *chaosDirector, to string) *redisProxy {
	t := d.c.t
	t.Helper()
	p := &redisProxy{director: d, to: to}
	p.addr = p.conns.listen(t, p.pass)
	return p
}

func (p *redisProxy) pass(in net.Conn) {
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = in.Close()
		return
	}
	sent := make(chan string, 64) // the scripts that are to be answered
	p.conns.pair(in, out, func() { p.ask(in, out, sent) }, func() { p.answer(in, out, sent) })
}

// ask passes commands on; the client sends the next one of a connection when it has
// the answer to a script.
func (p *redisProxy) ask(in, out net.Conn, sent chan<- string) {
	buffer := make([]byte, 256<<10)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		if call, ok := p.director.c.scriptCallOf(buffer[:n]); ok {
			p.director.seeClaim(call)
			if _, err := p.director.meet(p.director.c.ctx, call.method, before); err != nil {
				return
			}
			sent <- call.method
		}
		if _, err := out.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *redisProxy) answer(in, out net.Conn, sent <-chan string) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := out.Read(buffer)
		if err != nil {
			return
		}
		select {
		case method := <-sent:
			if _, err := p.director.meet(p.director.c.ctx, method, after); err != nil {
				return
			}
		default:
		}
		if _, err := in.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// see checks what a director tells Open Match: a match is assigned only if its place was
// confirmed in Redis before.
func (d *chaosDirector) see(_ context.Context, method, phase string, message []byte) {
	if method != "AssignTickets" || phase != before {
		return
	}
	req := new(openmatch.AssignTicketsRequest)
	if err := proto.Unmarshal(message, req); err != nil {
		d.c.violated("unconfirmed", "director %d assigns what cannot be read: %v", d.n, err)
		return
	}
	for _, g := range req.GetAssignments() {
		details := new(torikumiv1.AssignmentDetails)
		err := contract.Get(g.GetAssignment().GetExtensions(), contract.AssignmentExtension, details)
		d.mu.Lock()
		confirmed := d.confirmed[details.GetMatchId()+" at "+g.GetAssignment().GetConnection()]
		d.mu.Unlock()
		if g.GetAssignment().GetConnection() != "" && (err != nil || !confirmed) {
			d.c.violated("unconfirmed", "director %d assigns match %s to %s, which it has not confirmed in Redis", d.n, details.GetMatchId(), g.GetAssignment().GetConnection())
		}
	}
}

// seeClaim checks what a director tells Redis: that somebody joins a match, when they are
// on its roster.
func (d *chaosDirector) seeClaim(call scriptCall) {
	switch call.method {
	case "ConfirmJoiner":
		if !d.c.isRostered(call.ticket) {
			d.c.violated("not on roster", "director %d is about to send ticket %s to match %s at %s, on whose roster it never was", d.n, call.ticket, call.match, call.at)
		}
	case "Confirm":
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.confirmed[call.match+" at "+call.at] = true
}
