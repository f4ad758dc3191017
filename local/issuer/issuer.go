// Package issuer is the development issuer: on one machine it stands where a
// studio's identity provider stands, and gives a player token to whoever
// asks. It only ever listens for the local suite.
package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"google.golang.org/grpc"

	"torikumi/frontend/signing"
	"torikumi/pkg/cors"
	"torikumi/pkg/problem"
	"torikumi/pkg/service"
	"torikumi/pkg/strictjson"
	"torikumi/pkg/token"
)

// URL is the issuer's name in the tokens ("iss"), and Audience the frontend's.
// The name is not looked up: the frontend is told where the keys are.
const (
	URL      = "https://players.torikumi.localhost"
	Audience = "torikumi"
)

// Lifetime of a player token.
const Lifetime = 12 * time.Hour

// TokenPath is where tokens are made: POST {"player":"alice"}, and for queues that
// take attributes from the token {"player":"alice","claims":{"mmr":1500}}.
const TokenPath = "/v1/player-tokens"

// maxBody bounds a request in bytes.
const maxBody = 4 << 10

var playerID = regexp.MustCompile(`^[A-Za-z0-9._:@|-]{1,128}$`)

// Options of Run.
type Options struct {
	// KeysDir holds the signing key; one is made if there is none.
	KeysDir    string
	HTTPListen string
	// Origins are those of web pages that may sign in here; any page could be any
	// player.
	Origins []string
	Service service.Config
	Started func(service.Addrs)
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	keys, err := signing.LoadKeys(o.KeysDir, signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		return fmt.Errorf("keys of the development issuer: %w", err)
	}
	minter, err := signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: URL, Audience: Audience})
	if err != nil {
		return fmt.Errorf("development issuer: %w", err)
	}
	browsers := &cors.Policy{Origins: o.Origins, Methods: []string{http.MethodPost}, Headers: []string{"Content-Type"}}
	wrap := func(h http.Handler) http.Handler {
		if service.LoopbackHost(o.HTTPListen) {
			h = service.LocalWithPages(h, o.Origins)
		}
		return browsers.Handler(h)
	}
	return service.Run(ctx, service.Options{
		WrapHTTP: wrap,
		Name:     "issuer", Config: o.Service, HTTPListen: []string{o.HTTPListen}, Started: o.Started,
		HTTP: func(mux *http.ServeMux, _ *grpc.ClientConn) error {
			mux.Handle(token.JWKSPath, signing.JWKSHandler(keys))
			mux.Handle("POST "+TokenPath, handler(minter))
			return nil
		},
	})
}

// handler makes tokens. The answer is {"player","token","expires_in"}, the
// last in seconds.
func handler(minter *signing.PlayerMinter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Player string         `json:"player"`
			Claims map[string]any `json:"claims"`
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body must have at most %d bytes", maxBody))
			return
		case err != nil:
			problem.Write(w, http.StatusBadRequest, "the body could not be read")
			return
		}
		if err := strictjson.Decode(body, &req); err != nil {
			problem.Write(w, http.StatusBadRequest, err.Error())
			return
		}
		if !playerID.MatchString(req.Player) {
			problem.New(http.StatusBadRequest, "the request is invalid",
				problem.Field{Field: "player", Rule: "must be 1 to 128 characters of A-Z, a-z, 0-9 and ._:@|-"}).Write(w)
			return
		}
		raw, err := minter.MintPlayer(req.Player, Lifetime, req.Claims)
		var taken *signing.ClaimError
		if errors.As(err, &taken) {
			problem.New(http.StatusBadRequest, "the request is invalid", problem.Field{Field: "claims." + taken.Claim, Rule: taken.Rule}).Write(w)
			return
		}
		if err != nil {
			problem.Write(w, http.StatusInternalServerError, "the token could not be signed")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"player": req.Player, "token": raw, "expires_in": int(Lifetime.Seconds())}) // the client is gone if this fails
	})
}
