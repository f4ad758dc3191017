package token_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"torikumi/pkg/token"
)

// TestKeyThatIsNewerThanTheFetchUnderWay: the issuer has answered a fetch before
// it published a key; a token with that key comes before the answer is here.
func TestKeyThatIsNewerThanTheFetchUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := loaded(t, token.ES256, newEC(t)), loaded(t, token.ES256, newEC(t))
		release := make(chan struct{})
		first := true
		w := &wire{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !first {
				token.JWKSHandler(fresh).ServeHTTP(w, r)
				return
			}
			first = false
			answer := httptest.NewRecorder()
			token.JWKSHandler(old).ServeHTTP(answer, r)
			<-release // it is on its way for a while
			_, _ = w.Write(answer.Body.Bytes())
		})}
		r := newRemote(t, w, nil)
		stop := start(t, r)
		defer stop()
		synctest.Wait()
		got := make(chan error, 1)
		go func() {
			_, err := r.Key(t.Context(), fresh.SigningKeyID())
			got <- err
		}()
		synctest.Wait()
		close(release)
		if err := <-got; err != nil {
			t.Errorf("a key that the issuer has published: %v", err)
		}
	})
}
