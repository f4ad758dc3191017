package backend

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"torikumi/minimatch/internal/anyjson"
	"torikumi/minimatch/internal/jsonstream"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// newRESTClient makes the client for match functions over REST. How long a call
// takes is ruled by the cycle's windows alone.
func newRESTClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			// A connection that has come to a wrong place is not used for the next cycle.
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (f *Functions) runREST(ctx context.Context, cfg *openmatch.FunctionConfig, profile *openmatch.MatchProfile, propose func(*openmatch.Match) error) error {
	body, err := anyjson.Marshal(&openmatch.RunRequest{Profile: profile})
	if err != nil {
		return fmt.Errorf("the profile cannot be written as JSON: %w", err)
	}
	url := "http://" + address(cfg) + "/v1/matchfunction:run"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the match function's address cannot be used: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.rest.Do(req)
	if err != nil {
		return functionError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	stream := jsonstream.NewReader(resp, rpc.MaxMessage)
	return proposals(ctx, func() (*openmatch.RunResponse, error) {
		run := new(openmatch.RunResponse)
		return run, stream.Next(run)
	}, propose)
}
