// Package regions reads regions.yaml: where clients measure how far away each region is,
// before a player presses Play. It follows the file, so that a region can come and go
// while players search.
package regions

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"

	"torikumi/pkg/strictyaml"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// NamePattern is what regions may be called.
	NamePattern = `^[A-Za-z0-9_.-]{1,64}$`
	// NameRule says so in words.
	NameRule = "must have 1 to 64 characters of [A-Za-z0-9_.-]"
	// Max is how many regions there may be: as many as a player may have latencies.
	Max = 64
)

var namePattern = regexp.MustCompile(NamePattern)

// Parse reads and checks the content of a regions.yaml. The error joins all that is wrong,
// each with the field's path and the rule.
func Parse(text []byte) (*torikumiv1.ListRegionsResponse, error) {
	var file struct {
		Regions []struct {
			Name string `json:"name"`
			UDP  string `json:"udp,omitempty"`
			HTTP string `json:"http,omitempty"`
		} `json:"regions"`
	}
	if err := strictyaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var errs []error
	if n := len(file.Regions); n == 0 || n > Max {
		errs = append(errs, fmt.Errorf("regions: there must be 1 to %d, got %d", Max, n))
	}
	all, seen := new(torikumiv1.ListRegionsResponse), make(map[string]bool)
	for i, r := range file.Regions {
		bad := func(field, rule string, args ...any) {
			errs = append(errs, fmt.Errorf("regions[%d].%s: %w", i, field, fmt.Errorf(rule, args...)))
		}
		if !namePattern.MatchString(r.Name) || seen[r.Name] {
			bad("name", "must be unique, and "+NameRule+", got %q", r.Name)
		}
		seen[r.Name] = true
		if r.UDP == "" && r.HTTP == "" {
			bad("udp", "required, or http: clients cannot measure otherwise")
		}
		if r.UDP != "" && !hostPort(r.UDP) {
			bad("udp", "must be host:port, got %q", r.UDP)
		}
		if r.HTTP != "" && !webURL(r.HTTP) {
			bad("http", "must be an absolute http or https URL without user, query and fragment, got %q", r.HTTP)
		}
		all.Regions = append(all.Regions, &torikumiv1.Region{Name: r.Name, Udp: r.UDP, Http: r.HTTP})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && host != "" && n > 0
}

// webURL leaves no room for secrets: everybody can read the list.
func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
