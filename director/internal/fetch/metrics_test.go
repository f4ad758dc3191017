package fetch_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"torikumi/director/internal/fetch"
)

// TestOldestMatch: the age is that of the match that was received first of those that
// are still in flight.
func TestOldestMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		m := fetch.NewMetrics(r)
		expect := func(want string) {
			t.Helper()
			text := "# HELP torikumi_director_oldest_match_age_seconds How long the match is being placed that was received first; 0 if there is none.\n" +
				"# TYPE torikumi_director_oldest_match_age_seconds gauge\ntorikumi_director_oldest_match_age_seconds " + want + "\n"
			if err := testutil.GatherAndCompare(r, strings.NewReader(text), "torikumi_director_oldest_match_age_seconds"); err != nil {
				t.Error(err)
			}
		}
		expect("0")
		first := fetch.Begin(m)
		time.Sleep(3 * time.Second) // of the test's own clock
		second := fetch.Begin(m)
		time.Sleep(time.Second)
		expect("4")
		first()
		expect("1")
		second()
		expect("0")
	})
}
