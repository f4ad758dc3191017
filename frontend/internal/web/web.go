// Package web puts the player API over HTTP: JSON by grpc-gateway, server-sent
// events for those who wait, the key set for gates, and the one route that
// clients of before already use. Every error is an RFC 9457 problem. On the
// player's path it is what the game client talks to.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/matchmaker"
	"torikumi/pkg/problem"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// MaxBody is the largest body of a request in bytes.
const MaxBody = 16 << 10

const (
	// callTimeout is longer than the longest wait that a client can ask for.
	callTimeout = 75 * time.Second
	// bodyTimeout is how long a client may take to send its body.
	bodyTimeout = 10 * time.Second
	// defaultHeartbeat keeps proxies from closing a quiet stream.
	defaultHeartbeat = 15 * time.Second
	// writeTimeout is how long a client may leave an event unread.
	writeTimeout = 10 * time.Second
)

// Options are what the routes need; all are required but those that say so.
type Options struct {
	// Self is a connection to the gRPC server of this very service.
	Self *grpc.ClientConn
	// API, Auth and Matchmaker serve the play route, whose players may have no
	// player token.
	API        *api.Service
	Auth       *api.Authenticator
	Matchmaker *matchmaker.Client
	Keys       *token.Keys
	Logger     *slog.Logger
	// PlayToken is the secret that the studio's clients share; empty: there is
	// none.
	PlayToken string
	// PlayQueue is where the play route tickets.
	PlayQueue string
	// PlayTimeout is how long it waits for a match.
	PlayTimeout time.Duration
	// Heartbeat is the time between comments in a quiet event stream; zero
	// means 15 s.
	Heartbeat time.Duration
}

// Register adds the routes to mux.
func Register(mux *http.ServeMux, o Options) error {
	if o.Heartbeat <= 0 {
		o.Heartbeat = defaultHeartbeat
	}
	gateway := newGateway()
	if err := torikumiv1.RegisterFrontendServiceHandler(context.Background(), gateway, o.Self); err != nil {
		return err
	}
	mux.Handle("/", limited(bounded(gateway)))
	mux.Handle(token.JWKSPath, token.JWKSHandler(o.Keys))
	mux.Handle("/v1/tickets/{id}/events", limited(only(http.MethodGet, &events{torikumiv1.NewFrontendServiceClient(o.Self), o.Heartbeat})))
	mux.Handle("/play/{region}", limited(only(http.MethodGet, newPlay(o))))
	return nil
}

// only answers other methods with 405.
func only(method string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			problem.Write(w, http.StatusMethodNotAllowed, "use "+method)
			return
		}
		next.ServeHTTP(w, r)
	})
}
