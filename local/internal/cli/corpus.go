package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"torikumi/pkg/service"
	"torikumi/pkg/token"
	"torikumi/pkg/token/corpus"
)

type corpusConfig struct {
	Verifier string `flag:"verifier" help:"URL that takes a token by POST, such as a gate's http://127.0.0.1:8085/v1/admissions."`
	Member   string `flag:"member" default:"token" help:"Member of the JSON object in which the verifier takes the token."`
	Listen   string `flag:"listen" default:"127.0.0.1:8089" rule:"listen" help:"Where the keys are published, at /.well-known/jwks.json: the verifier has to take them from there."`
	Issuer   string `flag:"issuer" default:"https://frontend.example/torikumi" help:"Issuer that the verifier expects."`
	Audience string `flag:"audience" default:"gs:games/arena-7" help:"Audience that the verifier expects: gs:NAMESPACE/NAME of its game server."`
	Match    string `flag:"match" default:"m-0123456789abcdef" help:"Match that the verifier expects."`
	Player   string `flag:"player" default:"ann" help:"A player whom the verifier expects."`
	Reasons  bool   `flag:"reasons" default:"true" help:"The verifier has to give the reason of docs/gate.md too; false: it has to refuse."`
}

func (c *corpusConfig) Validate() error {
	var errs []error
	if u, err := url.Parse(c.Verifier); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		errs = append(errs, errors.New("--verifier: must be a URL such as http://127.0.0.1:8085/v1/admissions"))
	}
	if !token.ValidPlayer(c.Player) {
		errs = append(errs, errors.New("--player: must be 1 to 128 letters, digits and ._:@|-"))
	}
	if !strings.HasPrefix(c.Audience, "gs:") {
		errs = append(errs, errors.New("--audience: must be gs:NAMESPACE/NAME"))
	}
	return errors.Join(errs...)
}

// runCorpus has a verifier of join tokens check those that it has to refuse.
func runCorpus(ctx context.Context, p service.Process) int {
	cfg := new(corpusConfig)
	if code, ok := load("corpus", cfg, p); !ok {
		return code
	}
	wrong, err := playCorpus(ctx, cfg, p)
	if err != nil {
		return p.Fail("torikumi corpus", err)
	}
	if wrong > 0 {
		return exitFailed
	}
	return 0
}

// playCorpus returns how many answers were wrong.
func playCorpus(ctx context.Context, cfg *corpusConfig, p service.Process) (int, error) {
	m, err := corpus.NewMaker(corpus.Expected{Issuer: cfg.Issuer, Audience: cfg.Audience, Match: cfg.Match, Player: cfg.Player, Team: "red"})
	if err != nil {
		return 0, err
	}
	stop, err := publish(ctx, cfg.Listen, m)
	if err != nil {
		return 0, err
	}
	defer stop()
	client := &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{}, // no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	results, err := corpus.Run(ctx, m, corpus.Verifier{URL: cfg.Verifier, Member: cfg.Member, Client: client})
	wrong := 0
	for _, r := range results {
		if what := r.Wrong(cfg.Reasons); what != "" {
			wrong++
			fmt.Fprintf(p.Stdout, "%s: %s, want %s\n", r.Case.Name, what, r.Case.Reason)
		}
	}
	if len(results) > 0 {
		fmt.Fprintf(p.Stdout, "%d of %d tokens were refused as they have to be\n", len(results)-wrong, len(results))
	}
	return wrong, err
}

// publish serves the maker's keys until stop is called.
func publish(ctx context.Context, addr string, m *corpus.Maker) (stop func(), err error) {
	keys, err := m.JWKS()
	if err != nil {
		return nil, err
	}
	l, err := service.Listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+token.JWKSPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(keys)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	return func() { _ = server.Close(); <-done }, nil
}
