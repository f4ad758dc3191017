package gateapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"torikumi/gameserver/internal/admission"
	"torikumi/pkg/token"
)

// requestTimeout outlasts a gate that waits for keys and for the SDK.
const requestTimeout = 10 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// ErrOtherMatch says that the gate's server is not there for the match.
var ErrOtherMatch = errors.New("the game server is not, or no longer, there for this match")

// ErrNotPresent says that the gate does not know the player as present.
var ErrNotPresent = errors.New("the gate does not know the player as present")

// Refusal is the gate's answer for a player who is not let in.
type Refusal struct {
	Reason               token.Reason
	Retryable, Renewable bool
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s", r.Reason) }

// Client calls a gate. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// CheckURL reports whether the gate may be at this URL.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return errors.New(`must be a URL such as "http://127.0.0.1:8085"`)
	}
	return nil
}

// NewClient makes a client of the gate at a URL that CheckURL accepts. Close
// ends its connections.
func NewClient(base string) *Client {
	u, err := url.Parse(base)
	if err != nil {
		u = &url.URL{} // CheckURL has not accepted it
	}
	return &Client{
		base: (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(),
		http: &http.Client{
			Timeout: requestTimeout,
			// No proxy: the gate is on this machine.
			Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Admit asks to let the owner of a token in; key names the request. The error is
// a [*Refusal], or says that the gate gave no usable answer: then the player may
// have been let in all the same.
func (c *Client) Admit(ctx context.Context, raw, key string) (Admission, error) {
	var a Admission
	err := c.do(ctx, http.MethodPost, "/v1/admissions", AdmissionRequest{Token: raw}, key, &a)
	return a, err
}

// Depart tells that a stay has ended. The error may be ErrNotPresent.
func (c *Client) Depart(ctx context.Context, player, admission string) error {
	return c.do(ctx, http.MethodPost, "/v1/departures", DepartureRequest{Player: player, Admission: admission}, "", nil)
}

// Report tells who is there, and returns who is not to be. The error may be
// ErrOtherMatch.
func (c *Client) Report(ctx context.Context, p Presence) ([]RefusedStay, error) {
	if p.Players == nil {
		p.Players = []Stay{}
	}
	var answer PresenceAnswer
	err := c.do(ctx, http.MethodPut, "/v1/presence", p, "", &answer)
	return answer.Refused, err
}

// Roster asks who is here.
func (c *Client) Roster(ctx context.Context) (Roster, error) {
	var r Roster
	err := c.do(ctx, http.MethodGet, "/v1/roster", nil, "", &r)
	return r, err
}

// SetClosed closes the match to newcomers, or opens it again. The error may be a [*Refusal].
func (c *Client) SetClosed(ctx context.Context, closed bool) error {
	return c.do(ctx, http.MethodPut, "/v1/closed", ClosedRequest{Closed: &closed}, "", &Closed{})
}

// Ban keeps a player of the match out until it is over. The error may be a [*Refusal].
func (c *Client) Ban(ctx context.Context, player string) error {
	return c.do(ctx, http.MethodPost, "/v1/bans", BanRequest{Player: player}, "", nil)
}

// Backfill asks for players. The error is a [*Refusal] if none can be searched for.
func (c *Client) Backfill(ctx context.Context) (Backfill, error) {
	var b Backfill
	err := c.do(ctx, http.MethodPost, "/v1/backfill", BackfillRequest{}, "", &b)
	return b, err
}

// StopBackfill asks for no more players. The error is a [*Refusal] if none can be
// searched for.
func (c *Client) StopBackfill(ctx context.Context) (Backfill, error) {
	var b Backfill
	err := c.do(ctx, http.MethodDelete, "/v1/backfill", nil, "", &b)
	return b, err
}

// Backfilling asks what becomes of the request for players.
func (c *Client) Backfilling(ctx context.Context) (Backfill, error) {
	var b Backfill
	err := c.do(ctx, http.MethodGet, "/v1/backfill", nil, "", &b)
	return b, err
}

func (c *Client) do(ctx context.Context, method, path string, in any, key string, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("marshal request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set(KeyHeader, key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("call the gate: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the gate's answer: %w", err)
	}
	return interpret(path, resp.StatusCode, data, out)
}

func interpret(path string, status int, data []byte, out any) error {
	switch {
	case status == http.StatusNoContent && out == nil:
		return nil
	case status == http.StatusOK && out != nil:
		if err := json.Unmarshal(data, out); err != nil {
			return fmt.Errorf("read the gate's answer to %s: %w", path, err)
		}
		return nil
	}
	var p refusalBody
	if err := json.Unmarshal(data, &p); err != nil || p.Status != status {
		return fmt.Errorf("the gate answered %s with status %d", path, status)
	}
	switch {
	case p.Reason == string(admission.ReasonNotPresent):
		return ErrNotPresent
	case p.Reason == string(token.ReasonWrongMatch) && status == http.StatusConflict:
		return ErrOtherMatch
	case p.Reason != "" && (status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusConflict || status == http.StatusServiceUnavailable):
		return &Refusal{Reason: token.Reason(p.Reason), Retryable: p.Retryable, Renewable: p.Renewable}
	}
	return fmt.Errorf("the gate answered %s with status %d: %s", path, status, p.Detail)
}
