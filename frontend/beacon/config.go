// Package beacon starts a latency beacon: game clients measure how long it takes to reach
// a region by the beacon that stands there. It is where a player's latencies come from. It
// keeps nothing, asks nobody and needs none of the other services.
package beacon

import (
	"errors"

	"torikumi/frontend/internal/https"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config holds a beacon's settings. The zero value is not valid: config.Default fills in
// what has a default.
type Config struct {
	service.Config
	UDPListen  []string `flag:"udp-listen" default:"127.0.0.1:7800" required:"clients measure there" rule:"listen" help:"Addresses where datagrams are answered, with commas between; :7800 is all of IPv4 and IPv6. Name each address of a machine that has several, or answers may come from another one than was asked. Port 0 is any free one."`
	HTTPListen string   `flag:"http-listen" default:"127.0.0.1:7801" rule:"listen" help:"Address of GET /ping, for browsers. Port 0 is any free one."`
	https.TLSConfig
	SourceRate int `flag:"source-rate" default:"100" rule:"from 1 to 1000000" help:"Most datagrams a second that are answered to one address, of IPv6 one /64."`
	TotalRate  int `flag:"total-rate" default:"20000" rule:"from 1 to 10000000" help:"Most datagrams a second that are answered in all."`
}

// Validate tells which of the beacon's own settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.AdminListen == "" {
		errs = append(errs, config.Missing("admin-listen", "the other addresses are open to everybody, and metrics are not for them"))
	}
	if c.SourceRate > c.TotalRate {
		errs = append(errs, config.Invalid("source-rate", "must be at most --total-rate", c.SourceRate))
	}
	return errors.Join(append(errs, c.CheckTLS())...)
}
