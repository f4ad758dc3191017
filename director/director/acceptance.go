package director

import (
	"errors"
	"fmt"
	"time"

	"torikumi/director/internal/fetch"
	"torikumi/pkg/queues"
)

// checkAcceptance refuses queues whose players would still be asked for a match when Open
// Match shows their tickets to others.
func (c *Config) checkAcceptance(set *queues.Set) error {
	var errs []error
	longest := (fetch.PlaceBy(c.PendingReleaseTimeout) - fetch.AskMargin - c.MatchTimeout).Truncate(time.Second)
	for i, q := range set.Queues {
		if d := q.AcceptTime(); q.Acceptance != nil && d > longest {
			errs = append(errs, fmt.Errorf("queues[%d].acceptance.time_limit: must be at most %v, so that it, --match-timeout (%v) and %v more are within nine tenths of --pending-release-timeout (%v), got %v",
				i, max(longest, 0), c.MatchTimeout, fetch.AskMargin, c.PendingReleaseTimeout, d))
		}
	}
	return errors.Join(errs...)
}
