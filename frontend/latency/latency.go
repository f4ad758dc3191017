// Package latency measures how far away regions are, as a game client does before it
// searches: by datagrams to the beacon of each region, or by HTTP where those do not pass.
package latency

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"torikumi/frontend/internal/echo"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// errNoBeacon means that something else than a beacon is at its address.
var errNoBeacon = errors.New("no beacon answers there")

// Max is the most that a ticket takes, in milliseconds.
const Max = 60_000

// Options of Measure; zero values mean the defaults.
type Options struct {
	// Samples is how many round trips count, of which the median does; 5 by default. One
	// more comes before them, as it opens the way.
	Samples int
	// Timeout is how long one answer may take; 1 s by default. A lost one is not asked for
	// again, and counts for nothing.
	Timeout time.Duration
}

// Measure returns the latencies to those of the regions that answer, in milliseconds by
// their names, as a ticket takes them. All regions are measured at the same time.
func Measure(ctx context.Context, regions []*torikumiv1.Region, o Options) map[string]int32 {
	o.Samples, o.Timeout = cmp.Or(o.Samples, 5), cmp.Or(o.Timeout, time.Second)
	latencies := make(map[string]int32)
	var mu sync.Mutex
	var measuring sync.WaitGroup
	for _, r := range regions {
		measuring.Go(func() {
			took, ok := o.region(ctx, r)
			if !ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			latencies[r.GetName()] = int32(min(math.Round(float64(took)/float64(time.Millisecond)), Max))
		})
	}
	measuring.Wait()
	return latencies
}

// region tries datagrams first.
func (o Options) region(ctx context.Context, r *torikumiv1.Region) (time.Duration, bool) {
	if r.GetUdp() != "" {
		if took, ok := o.datagrams(ctx, r.GetUdp()); ok {
			return took, true
		}
	}
	if r.GetHttp() != "" {
		return o.requests(ctx, r.GetHttp())
	}
	return 0, false
}

// median makes the round trips. Nobody who has not answered twice is asked on.
func (o Options) median(ctx context.Context, trip func(context.Context) error) (time.Duration, bool) {
	var took []time.Duration
	for i, lost := 0, 0; i <= o.Samples && lost < 2; i++ {
		limit, cancel := context.WithTimeout(ctx, o.Timeout)
		begin := time.Now()
		err := trip(limit)
		elapsed := time.Since(begin)
		cancel()
		if ctx.Err() != nil {
			return 0, false
		}
		switch {
		case err != nil:
			lost++
		case i > 0:
			took = append(took, elapsed)
		}
	}
	if len(took) == 0 {
		return 0, false
	}
	slices.Sort(took)
	return took[len(took)/2], true
}

func (o Options) datagrams(ctx context.Context, addr string) (time.Duration, bool) {
	dialed, cancel := context.WithTimeout(ctx, o.Timeout) // the name is looked up
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialed, "udp", addr)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	return o.median(ctx, func(ctx context.Context) error { return ask(ctx, conn) })
}

// ask sends one request and waits for its answer; the connection takes none from
// elsewhere.
func ask(ctx context.Context, conn net.Conn) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed one, as what follows does
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	var nonce [echo.NonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails
	if _, err := conn.Write(echo.Request(nonce)); err != nil {
		return err
	}
	buf := make([]byte, echo.Size+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if echo.Answers(buf[:n], nonce) {
			return nil
		}
	}
}

func (o Options) requests(ctx context.Context, url string) (time.Duration, bool) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return o.median(ctx, func(ctx context.Context) error { return get(ctx, client, url) })
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return errNoBeacon
	}
	return nil
}
