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
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// The points of a call at which something can happen: when it has not reached the other
// end, and when it has had its effect and its answer is on its way.
const (
	before = "before"
	after  = "after"
)

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string                  { return "raw" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// callProxy passes the gRPC calls of one director on, whatever the service.
type callProxy struct {
	director *chaosDirector
	conn     *grpc.ClientConn
	addr     string
}

func newCallProxy(d *chaosDirector, to string) *callProxy {
	t := d.c.t
	t.Helper()
	conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &callProxy{director: d, conn: conn, addr: lis.Addr().String()}
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
	ctx, err := p.director.meet(in.Context(), method, before)
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
			if err := in.SendMsg(message); err != nil {
				return err
			}
			continue
		}
		answer = message
	}
	if ctx != p.director.c.ctx { // else nobody waits any more
		if _, err := p.director.meet(in.Context(), method, after); err != nil {
			return err
		}
	}
	if answer == nil {
		return nil
	}
	return in.SendMsg(answer)
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

// scripts are the scripts of pkg/claims by what they are called here.
type scripts map[string]string

func loadScripts(t *testing.T) scripts {
	t.Helper()
	all := make(scripts)
	for name, file := range map[string]string{"Acquire": "acquire.lua", "set": "set.lua", "Drop": "drop.lua"} {
		source, err := os.ReadFile(filepath.Join("..", "pkg", "claims", file))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = redis.NewScript(string(source)).Hash()
	}
	return all
}

// of names the call of claims.Store that a command is, or is empty.
func (s scripts) of(command []byte) string {
	for name, hash := range s {
		if !bytes.Contains(command, []byte(hash)) {
			continue
		}
		switch {
		case name != "set":
			return name
		case bytes.Contains(command, []byte("\r\nconfirmed\r\n")):
			return "Confirm"
		case bytes.Contains(command, []byte("\r\nassigned\r\n")):
			return "MarkAssigned"
		}
		return "Revoke"
	}
	return ""
}

// redisProxy passes one director's commands on to Redis.
type redisProxy struct {
	director *chaosDirector
	to, addr string
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil when it is over
}

func newRedisProxy(d *chaosDirector, to string) *redisProxy {
	t := d.c.t
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &redisProxy{director: d, to: to, addr: lis.Addr().String(), conns: make(map[net.Conn]bool)}
	p.work.Go(func() { p.accept(lis) })
	t.Cleanup(func() {
		_ = lis.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.conns = nil
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *redisProxy) accept(lis net.Listener) {
	for {
		in, err := lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		over := p.conns == nil
		if !over {
			p.conns[in], p.conns[out] = true, true
		}
		p.mu.Unlock()
		end := sync.OnceFunc(func() {
			_, _ = in.Close(), out.Close()
			p.mu.Lock()
			delete(p.conns, in)
			delete(p.conns, out)
			p.mu.Unlock()
		})
		if over {
			end()
			return
		}
		sent := make(chan string, 64) // the scripts that are to be answered
		p.work.Go(func() { defer end(); p.ask(in, out, sent) })
		p.work.Go(func() { defer end(); p.answer(in, out, sent) })
	}
}

// ask passes commands on; the client sends the next one of a connection when it has
// the answer to a script.
func (p *redisProxy) ask(in, out net.Conn, sent chan<- string) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		if script := p.director.c.scripts.of(buffer[:n]); script != "" {
			if _, err := p.director.meet(p.director.c.ctx, script, before); err != nil {
				return
			}
			sent <- script
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
		case script := <-sent:
			if _, err := p.director.meet(p.director.c.ctx, script, after); err != nil {
				return
			}
		default:
		}
		if _, err := in.Write(buffer[:n]); err != nil {
			return
		}
	}
}
