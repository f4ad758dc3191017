package corpus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"torikumi/pkg/token"
)

const (
	// patience is how long a verifier may take to learn the keys.
	patience = 30 * time.Second
	// pause is the time between two tries of a good token meanwhile.
	pause = 500 * time.Millisecond
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 1 << 20
)

// Verifier checks tokens over HTTP. A token comes by POST, as a member of a JSON object.
// 2xx admits, 4xx refuses, and anything else is a fault.
type Verifier struct {
	// URL is where tokens are posted to. Required.
	URL string
	// Member is the object's member that has the token. Required.
	Member string
	// Client must not be nil.
	Client *http.Client
}

// Answer is what a verifier said of a token.
type Answer struct {
	Status int
	// Reason is the answer's member "reason"; empty if there is none.
	Reason token.Reason
}

// Admitted says that the token was taken.
func (a Answer) Admitted() bool { return a.Status/100 == 2 }

// Refused says that the token was refused, and by intent.
func (a Answer) Refused() bool { return a.Status/100 == 4 }

// Result is a case and the verifier's answer.
type Result struct {
	Case   Case
	Answer Answer
}

// Wrong says what is wrong with the answer; empty if nothing is. reasons: it has to
// have the corpus's reason too.
func (r Result) Wrong(reasons bool) string {
	switch {
	case r.Answer.Admitted():
		return "admitted"
	case !r.Answer.Refused():
		return fmt.Sprintf("status %d is no refusal", r.Answer.Status)
	case reasons && r.Answer.Reason != r.Case.Reason:
		return fmt.Sprintf("refused as %q", r.Answer.Reason)
	}
	return ""
}

// Run has a verifier check every case, and before and after them a good token, which it
// has to admit. Before them it may take 30 s to learn the maker's keys.
func Run(ctx context.Context, m *Maker, v Verifier) ([]Result, error) {
	cases, err := Cases()
	if err != nil {
		return nil, err
	}
	if err := v.awaitKeys(ctx, m); err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(cases))
	for _, c := range cases {
		answer, err := v.check(ctx, m, c)
		if err != nil {
			return results, fmt.Errorf("%s: %w", c.Name, err)
		}
		results = append(results, Result{Case: c, Answer: answer})
	}
	answer, err := v.check(ctx, m, Case{})
	return results, answer.good(err)
}

// awaitKeys waits until the verifier admits a good token. While it does not know the keys
// it refuses.
func (v Verifier) awaitKeys(ctx context.Context, m *Maker) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		answer, err := v.check(limited, m, Case{})
		if err != nil || !answer.Refused() {
			return answer.good(err)
		}
		select {
		case <-limited.Done():
			return answer.good(nil)
		case <-time.After(pause):
		}
	}
}

// good returns an error unless the answer admits a good token.
func (a Answer) good(failed error) error {
	if failed != nil || a.Admitted() {
		return failed
	}
	return fmt.Errorf("a good token is not admitted: status %d, reason %q", a.Status, a.Reason)
}

func (v Verifier) check(ctx context.Context, m *Maker, c Case) (Answer, error) {
	raw, err := m.Make(c, time.Now())
	if err != nil {
		return Answer{}, err
	}
	body, err := json.Marshal(map[string]string{v.Member: raw})
	if err != nil {
		return Answer{}, fmt.Errorf("marshal request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := v.Client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("call the verifier: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	var told struct {
		Reason token.Reason `json:"reason"`
	}
	_ = json.Unmarshal(data, &told) // an answer may have no reason
	return Answer{Status: resp.StatusCode, Reason: told.Reason}, nil
}
