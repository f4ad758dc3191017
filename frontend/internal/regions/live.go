package regions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// readEvery is the time between two readings of the file. A change is in force after
	// the second reading that finds it: a file that is being written is not taken for
	// what is meant.
	readEvery = 500 * time.Millisecond
	// maxFile is the largest file in bytes.
	maxFile = 1 << 20
)

// Live follows a regions.yaml. What cannot be read or has a mistake changes nothing; log
// and metrics say so. It is safe for concurrent use. A nil Live has no regions.
type Live struct {
	path       string
	current    atomic.Pointer[torikumiv1.ListRegionsResponse]
	loaded     content // what is in force; only Run uses it
	every      time.Duration
	successful prometheus.Gauge
	logger     *slog.Logger
}

// content is that of the file, or why it cannot be read.
type content struct {
	text []byte
	err  string
}

func (c content) equal(other content) bool {
	return bytes.Equal(c.text, other.text) && c.err == other.err
}

// NewLive reads the file for the first time; Run follows it. With an empty path there is
// no file, and Live is nil.
func NewLive(path string, registry prometheus.Registerer, logger *slog.Logger) (*Live, error) {
	if path == "" {
		return nil, nil
	}
	l := &Live{path: path, logger: logger, loaded: read(path), every: readEvery}
	all, err := l.loaded.parse(path)
	if err != nil {
		return nil, err
	}
	l.successful = promauto.With(registry).NewGauge(prometheus.GaugeOpts{
		Namespace: "torikumi", Subsystem: "frontend", Name: "regions_last_reload_successful",
		Help: "1 if what the regions' file holds is in force, 0 if it cannot be: the regions from before are.",
	})
	l.successful.Set(1)
	l.current.Store(all)
	return l, nil
}

// Current returns the regions in force, which are not to be changed.
func (l *Live) Current() *torikumiv1.ListRegionsResponse {
	if l == nil {
		return new(torikumiv1.ListRegionsResponse)
	}
	return l.current.Load()
}

// Run follows the file until ctx ends; then it returns nil.
func (l *Live) Run(ctx context.Context) error {
	for last, judged := l.loaded, l.loaded; rpc.Sleep(ctx, l.every) == nil; {
		now := read(l.path)
		stable := now.equal(last)
		if last = now; stable && !now.equal(judged) {
			judged = now
			l.reload(ctx, now)
		}
	}
	return nil
}

// reload puts what was read in force, if it is right.
func (l *Live) reload(ctx context.Context, c content) {
	all, err := c.parse(l.path)
	if err != nil {
		l.successful.Set(0)
		l.logger.ErrorContext(ctx, "regions not reloaded: those from before stay in force", "file", l.path, "error", err)
		return
	}
	l.current.Store(all)
	l.successful.Set(1)
	l.logger.InfoContext(ctx, "regions reloaded", "file", l.path, "regions", len(all.GetRegions()))
}

// Load reads and checks a file.
func Load(path string) (*torikumiv1.ListRegionsResponse, error) { return read(path).parse(path) }

func (c content) parse(path string) (*torikumiv1.ListRegionsResponse, error) {
	if c.err != "" {
		return nil, fmt.Errorf("read regions: %s", c.err)
	}
	all, err := Parse(c.text)
	if err != nil {
		return nil, fmt.Errorf("regions in %s: %w", path, err)
	}
	return all, nil
}

func read(path string) content {
	text, err := readFile(path)
	if err != nil {
		return content{err: err.Error()}
	}
	return content{text: text}
}

// readFile reads a whole file. One that is no regular file could let the reader wait for
// ever.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(path + ": must be a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: must have at most %d bytes", path, maxFile)
	}
	return text, err
}
