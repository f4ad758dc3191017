package harness

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// IssuerName is what the tokens say as "iss".
const IssuerName = tokentest.Frontend

// Issuer signs tokens for the game server of harness.
type Issuer struct {
	*tokentest.Issuer
	http *httptest.Server
}

// StartIssuer publishes keys until the test ends.
func StartIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	i := &Issuer{Issuer: tokentest.NewIssuer(tokentest.RSA())}
	mux := http.NewServeMux()
	mux.Handle(token.JWKSPath, i.Issuer)
	i.http = httptest.NewServer(mux)
	tb.Cleanup(i.http.Close)
	return i
}

// URL is where the keys are.
func (i *Issuer) URL() string { return i.http.URL + token.JWKSPath }

// Close takes the key set off the net.
func (i *Issuer) Close() { i.http.Close() }

// Mint makes a good token.
func (i *Issuer) Mint(player, team, match string) string {
	return i.Forge(time.Now()).Claims(tokentest.Object{"sub": player, "team": team, "mid": match})
}
