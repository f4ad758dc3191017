package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"
)

// What a game server needs of its gate and of the Agones SDK, with the standard library alone.

// direct calls them without a proxy: both are on this machine.
var direct = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{IdleConnTimeout: time.Minute}}

func gateURL() string { return cmp.Or(os.Getenv("TORIKUMI_GATE"), "http://127.0.0.1:8085") }

func sdkURL() string { return "http://127.0.0.1:" + cmp.Or(os.Getenv("AGONES_SDK_HTTP_PORT"), "9358") }

// call returns the status, 0 if there is no answer that can be read. Of an error the status is enough.
func call(ctx context.Context, method, url string, in, out any, key string) int {
	body, err := json.Marshal(in)
	if err != nil {
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := direct.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || out != nil && json.Unmarshal(data, out) != nil && resp.StatusCode < 400 {
		return 0
	}
	return resp.StatusCode
}

// stay is a player's presence since one admission.
type stay struct {
	Player    string `json:"player"`
	Admission string `json:"admission"`
}

// answer is the gate's about a newcomer.
type answer struct {
	stay
	Team      string `json:"team"`
	MatchID   string `json:"match_id"`
	Reconnect bool   `json:"reconnect"`
	refusal
}

type refusal struct {
	Reason    string `json:"reason"`
	Retryable bool   `json:"retryable"`
	Renewable bool   `json:"renewable"`
}

// newKey names one connection's request for admission. The server makes it, never the client.
func newKey() string { return rand.Text() }

// admit reports whether the token's owner may come in. While the gate gives no answer it asks for 3 s.
func admit(ctx context.Context, token, key string) (a answer, admitted bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		a = answer{}
		status := call(ctx, http.MethodPost, gateURL()+"/v1/admissions", map[string]string{"token": token}, &a, key)
		if status >= 200 && status < 500 {
			return a, status == http.StatusOK
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer{refusal: refusal{Reason: cmp.Or(a.Reason, "gate_unavailable"), Retryable: true}}, false
		}
	}
}

// depart reports that a stay is over. False: say it again.
func depart(ctx context.Context, s stay) bool {
	status := call(ctx, http.MethodPost, gateURL()+"/v1/departures", s, nil, "")
	return status == http.StatusNoContent || status == http.StatusNotFound
}

// presence reports everybody who is there, and returns who must not be.
func presence(ctx context.Context, match string, there []stay) []stay {
	var a struct {
		Refused []stay `json:"refused"`
	}
	call(ctx, http.MethodPut, gateURL()+"/v1/presence", map[string]any{"match_id": match, "players": there}, &a, "")
	return a.Refused
}

func sdk(ctx context.Context, path string) bool {
	return call(ctx, http.MethodPost, sdkURL()+path, struct{}{}, nil, "") == http.StatusOK
}
