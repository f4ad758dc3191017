package suite

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/frontend/beacon"
	"torikumi/pkg/config"
	"torikumi/pkg/queues"
	"torikumi/pkg/service"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// RegionsOf are those of a queue: what it names, or those that stand for any.
func RegionsOf(q queues.Queue) []string {
	if len(q.Regions) > 0 {
		return q.Regions
	}
	return []string{"eu", "us"}
}

// startBeacons starts one for each region, all on this machine, and writes the file that
// tells the frontend of them.
func (s *Suite) startBeacons(ctx context.Context) error {
	list := new(torikumiv1.ListRegionsResponse)
	for _, q := range s.queues.Queues {
		for _, name := range RegionsOf(q) {
			if slices.ContainsFunc(list.GetRegions(), func(r *torikumiv1.Region) bool { return r.GetName() == name }) {
				continue
			}
			region, err := s.startBeacon(ctx, name)
			if err != nil {
				return err
			}
			list.Regions = append(list.Regions, region)
		}
	}
	text, err := protojson.Marshal(list) // JSON is YAML
	if err == nil {
		err = os.WriteFile(s.regionsFile(), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the regions: %w", err)
	}
	s.regions = list.GetRegions()
	return nil
}

func (s *Suite) regionsFile() string { return filepath.Join(s.dir, "regions.yaml") }

// startBeacon starts the one of a region, where the players of this machine are all of one
// source.
func (s *Suite) startBeacon(ctx context.Context, region string) (*torikumiv1.Region, error) {
	cfg := new(beacon.Config)
	config.Default(cfg)
	cfg.Config = s.opts.Log
	free := net.JoinHostPort(s.opts.ServerHost, "0")
	cfg.UDPListen, cfg.HTTPListen, cfg.AdminListen = []string{free}, free, "127.0.0.1:0"
	cfg.SourceRate = cfg.TotalRate
	inst, err := launch(ctx, func(ctx context.Context, started func(service.Addrs)) error { return beacon.Run(ctx, cfg, started) })
	if err != nil {
		return nil, fmt.Errorf("start the beacon of %s: %w", region, err)
	}
	s.add("beacon of "+region, inst)
	return &torikumiv1.Region{Name: region, Udp: inst.Addrs().UDPAll[0], Http: "http://" + inst.Addrs().HTTP + "/ping"}, nil
}

// Regions are those that the frontend lists.
func (s *Suite) Regions() []*torikumiv1.Region { return s.regions }
