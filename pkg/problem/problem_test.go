package problem_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"torikumi/pkg/problem"
)

func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, 401, "a player token is required")
	if w.Code != 401 || w.Header().Get("Content-Type") != problem.ContentType || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	var p problem.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Title != "Unauthorized" || p.Type != "about:blank" || p.Status != 401 {
		t.Errorf("got %+v, %v", p, err)
	}
}
