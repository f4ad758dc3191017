package gate

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A web page must not admit or depart players through a browser beside the
// gate; probes come to the pod's own address.
func TestForeignHosts(t *testing.T) {
	h := localAPI(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, tt := range []struct {
		method, path, host, origin string
		want                       int
	}{
		{"GET", "/v1/roster", "127.0.0.1:8085", "", 204},
		{"POST", "/v1/departures", "localhost:8085", "", 204},
		{"GET", "/v1/roster", "evil.example", "", 421},
		{"GET", "/v1/roster", "printer.local", "", 421},
		{"POST", "/v1/departures", "evil.example:8085", "", 421},
		{"POST", "/v1/departures", "127.0.0.1:8085", "http://evil.example", 403},
		{"GET", "/livez", "10.1.2.3:8085", "", 204},
	} {
		r := httptest.NewRequest(tt.method, tt.path, nil)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%+v: %d", tt, w.Code)
		}
	}
}
