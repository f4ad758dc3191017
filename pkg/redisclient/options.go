package redisclient

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// form is that of a URL.
const form = "must be redis://[user:password@]host:port[/db], or rediss://"

// The kinds of the options that a URL may have.
const (
	number   = "a whole number"
	duration = "a duration, as 2s"
	yesOrNo  = "true or false"
)

// kinds are those of the options, except for the client's name, which is any text.
var kinds = map[string]string{
	"db": number, "protocol": number, "max_retries": number, "pool_size": number,
	"min_idle_conns": number, "max_idle_conns": number, "max_active_conns": number, "max_concurrent_dials": number,
	"pipeline_pool_size": number, "pipeline_read_buffer_size": number, "pipeline_write_buffer_size": number,
	"min_retry_backoff": duration, "max_retry_backoff": duration,
	"dial_timeout": duration, "read_timeout": duration, "write_timeout": duration, "pool_timeout": duration,
	"conn_max_idle_time": duration, "idle_timeout": duration, "conn_max_lifetime": duration, "max_conn_age": duration, "conn_max_lifetime_jitter": duration,
	"pool_fifo": yesOrNo, "skip_verify": yesOrNo,
}

const (
	// maxConnections is how many clients Redis takes if it is not told otherwise.
	maxConnections = 10_000
	maxBuffer      = 16 << 20
	// A Redis that cannot be reached is to be noticed, and one that can is to have time to
	// answer.
	minTimeout, maxTimeout = 10 * time.Millisecond, time.Minute
)

// bounds are those of the numbers and durations with which the library works: with others it
// panics, fails each call or waits without end, or does not send calls and reports no error.
func bounds(o *redis.Options) []bound {
	count := func(name string, value, from, to int) bound {
		return bound{name, value < from || value > to, fmt.Sprintf("from %d to %d", from, to)}
	}
	timeout := func(name string, value time.Duration) bound {
		return bound{name, value < minTimeout || value > maxTimeout, fmt.Sprintf("from %v to %v", minTimeout, maxTimeout)}
	}
	return []bound{
		count("pool_size", o.PoolSize, 1, maxConnections),
		count("min_idle_conns", o.MinIdleConns, 0, maxConnections),
		count("max_idle_conns", o.MaxIdleConns, 0, maxConnections),
		{"max_active_conns", o.MaxActiveConns != 0 && (o.MaxActiveConns < o.PoolSize || o.MaxActiveConns > maxConnections),
			fmt.Sprintf("0, for no limit, or from pool_size (%d) to %d", o.PoolSize, maxConnections)},
		count("max_concurrent_dials", o.MaxConcurrentDials, 0, maxConnections),
		count("pipeline_pool_size", o.PipelinePoolSize, -1, maxConnections),
		count("pipeline_read_buffer_size", o.PipelineReadBufferSize, 0, maxBuffer),
		count("pipeline_write_buffer_size", o.PipelineWriteBufferSize, 0, maxBuffer),
		count("max_retries", o.MaxRetries, -1, 10),
		count("protocol", o.Protocol, 2, 3),
		timeout("dial_timeout", o.DialTimeout),
		timeout("read_timeout", o.ReadTimeout),
		timeout("write_timeout", o.WriteTimeout),
		timeout("pool_timeout", o.PoolTimeout),
	}
}

// bound says whether a number or duration of a URL is out of its bounds, and which these are.
type bound struct {
	option string
	out    bool
	rule   string
}

// parse reads a URL, and returns what is wrong with it. The texts have nothing of it but names of
// options: the rest may hold the password. The options are nil if it cannot be read.
func parse(raw string) (o *redis.Options, wrong []string) {
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, unreadable(raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, []string{form}
	}
	given, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		// The library passes over what it cannot read.
		return nil, []string{"options must be name=value, with & between them"}
	}
	with := *o
	defaults(&with)
	for _, b := range bounds(&with) {
		if b.out && given.Has(b.option) {
			wrong = append(wrong, fmt.Sprintf("option %s must be %s", b.option, b.rule))
		}
	}
	return o, wrong
}

// unreadable returns why a URL cannot be read.
func unreadable(raw string) (wrong []string) {
	base, query, _ := strings.Cut(raw, "?")
	given, err := url.ParseQuery(query)
	if _, baseErr := redis.ParseURL(base); errors.Join(err, baseErr) != nil || strings.Contains(query, "@") {
		return []string{form} // what looks like options may be the end of a password
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		kind, known := kinds[name]
		switch _, err := redis.ParseURL(base + "?" + url.Values{name: given[name]}.Encode()); {
		case err == nil:
		case name == "skip_verify" && !strings.HasPrefix(base, "rediss:"):
			wrong = append(wrong, "option skip_verify works with rediss:// alone")
		case known:
			wrong = append(wrong, fmt.Sprintf("option %s must be %s", name, kind))
		default:
			wrong = append(wrong, fmt.Sprintf("there is no option %q", name))
		}
	}
	if len(wrong) == 0 {
		return []string{form}
	}
	return wrong
}
