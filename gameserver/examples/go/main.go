// A game server over WebSocket for browsers, on which players see each other move:
// PORT=7654 go run ./gameserver/examples/go. Its page is clients/typescript/example/game.html.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	// Players of this machine come to TORIKUMI_HOST; in a pod it is empty, and means all addresses.
	lis, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("TORIKUMI_HOST"), cmp.Or(os.Getenv("PORT"), "7654")))
	if err != nil {
		return err
	}
	g := newGame(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	// The limits are of the handshake; what comes after has its own.
	server := &http.Server{Handler: http.HandlerFunc(g.serve), ReadTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	if !sdk(ctx, "/ready") {
		return errors.Join(errors.New("the Agones SDK does not take Ready"), server.Close())
	}
	reporting := make(chan struct{})
	go func() { defer close(reporting); g.report(ctx) }()
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
	}
	<-reporting
	g.end()
	g.drain(time.Second)
	return server.Close()
}

// drain waits until nobody is connected, for a time.
func (g *game) drain(limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		g.mu.Lock()
		n := len(g.visitors)
		g.mu.Unlock()
		if n == 0 {
			return
		}
	}
}
