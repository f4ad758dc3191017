package director

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"torikumi/director/internal/reclaim"
	"torikumi/director/internal/servers"
	"torikumi/pkg/claims"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// others are those that the director works with.
type others struct {
	// clusters are those of Kubernetes, in the order of --kubeconfig.
	clusters []cluster
	backend  *grpc.ClientConn
	// frontend is nil if it is not configured, and so is gameServers.
	frontend    *grpc.ClientConn
	allocator   servers.Allocator
	gameServers servers.GameServers
	addresses   servers.Addresses
	// fleet has the game servers where no cluster has.
	fleet *grpc.ClientConn
	// claims is nil without Redis, which is closed in the end.
	claims *claims.Store
	redis  redis.UniversalClient

	// ready checks those without whom no match is placed.
	ready map[string]func(context.Context) error
	// background runs as long as the director.
	background []func(context.Context) error
	conns      []*grpc.ClientConn
}

// connect does not wait for anybody: calls fail until they are there.
func connect(cfg *Config, kubernetes servers.Kubernetes, set *queues.Set, registry prometheus.Registerer, log *slog.Logger) (*others, error) {
	clusters, err := open(cfg, kubernetes)
	if err != nil {
		return nil, err
	}
	o := &others{
		clusters: clusters, ready: make(map[string]func(context.Context) error),
		addresses: servers.Addresses{Annotation: cfg.AddressAnnotation, Types: cfg.AddressTypes},
	}
	err = errors.Join(o.connectNodes(cfg, log), o.connectOpenMatch(cfg), o.connectAllocator(cfg, servers.NewMetrics(registry), log), o.connectGameServers(cfg, set, registry, log), o.connectRedis(cfg))
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *others) connectOpenMatch(cfg *Config) (err error) {
	if o.backend, err = o.keep(cfg.DialOpenMatch(cfg.OpenMatch)); err != nil {
		return err
	}
	o.ready["open-match"] = rpc.Connected(o.backend)
	if cfg.Frontend != "" {
		o.frontend, err = o.keep(cfg.DialOpenMatch(cfg.Frontend))
	}
	return err
}

func (o *others) connectAllocator(cfg *Config, metrics *servers.Metrics, log *slog.Logger) error {
	var list []servers.Named
	for _, addr := range cfg.Allocator {
		more, err := o.allocators(cfg, addr)
		if err != nil {
			return err
		}
		for _, a := range more {
			list = append(list, metrics.Counted(a))
		}
	}
	if len(list) == 1 {
		o.allocator, o.ready["allocator"] = list[0], list[0].Ready
		return nil
	}
	p := servers.NewPreferred(log, list...)
	if len(cfg.Kubeconfig) > 1 {
		p = servers.NewNearest(log, list...)
	}
	o.allocator, o.ready["allocator"] = p, p.Ready
	return nil
}

// allocators makes one allocator, or that of each cluster.
func (o *others) allocators(cfg *Config, addr string) ([]servers.Named, error) {
	if addr != inKubernetes {
		conn, err := o.keep(cfg.dialAllocator(addr))
		return []servers.Named{{Name: addr, Allocator: servers.NewAgones(conn), Ready: rpc.Connected(conn)}}, err
	}
	var list []servers.Named
	for _, c := range o.clusters {
		a, err := c.Allocator()
		if err != nil {
			return nil, err
		}
		list = append(list, servers.Named{Name: cmp.Or(c.file, addr), Allocator: a, Ready: a.Ready})
	}
	return list, nil
}

// cluster is one of Kubernetes.
type cluster struct {
	// file is its kubeconfig; an empty name is the pod's.
	file string
	servers.KubernetesCluster
}

// log names the cluster, if it has a name.
func (c cluster) log(log *slog.Logger) *slog.Logger {
	if c.file == "" {
		return log
	}
	return log.With("cluster", c.file)
}

// open connects to the API of each cluster, if any of it is wanted.
func open(cfg *Config, kubernetes servers.Kubernetes) ([]cluster, error) {
	if !slices.Contains(cfg.Allocator, inKubernetes) && cfg.GameServers != inKubernetes {
		return nil, nil
	}
	if kubernetes == nil {
		return nil, fmt.Errorf("--allocator and --gameservers: must not be %s: this program has no client of it, the director's own has", inKubernetes)
	}
	files := cfg.Kubeconfig
	if len(files) == 0 {
		files = []string{""}
	}
	var all []cluster
	for _, file := range files {
		c, err := kubernetes.Open(file)
		if err != nil {
			return nil, err
		}
		all = append(all, cluster{file, c})
	}
	return all, nil
}

func (o *others) connectGameServers(cfg *Config, set *queues.Set, registry prometheus.Registerer, log *slog.Logger) error {
	switch cfg.GameServers {
	case "":
		return nil
	case inKubernetes:
		return o.connectClusters(cfg, set, registry, log)
	}
	conn, err := o.keep(cfg.dialAllocator(cfg.GameServers))
	if err != nil {
		return err
	}
	o.fleet = conn
	o.gameServers, o.ready["gameservers"] = servers.NewRemote(conn), rpc.Connected(conn)
	return nil
}

func (o *others) connectClusters(cfg *Config, set *queues.Set, registry prometheus.Registerer, log *slog.Logger) error {
	var all servers.Clusters
	var followed []servers.KubernetesGameServers
	for _, c := range o.clusters {
		g, err := c.GameServers(cfg.namespaces(set), c.log(log))
		if err != nil {
			return err
		}
		all = append(all, servers.Cluster{Name: c.file, GameServers: g, Seen: g.Seen, Ready: g.Ready})
		followed = append(followed, g)
		o.background = append(o.background, g.Run)
	}
	o.gameServers, o.ready["gameservers"] = all, all.AnyReady
	if len(all) == 1 {
		o.gameServers = followed[0] // which asks until it has seen all
	}
	if o.frontend == nil {
		return nil // whether tickets are assigned cannot be read
	}
	r := reclaim.New(reclaim.Options{
		GameServers: all, Tickets: openmatch.NewFrontendServiceClient(o.frontend), Placing: cfg.MatchTimeout, Registry: registry, Logger: log,
	})
	o.background = append(o.background, r.Run)
	for i, g := range followed {
		err := g.Follow(func(s servers.Server) { s.Cluster = all[i].Name; r.Observe(s) }, r.Gone)
		if err != nil {
			return err
		}
	}
	return nil
}

// connectNodes follows the nodes of each cluster, if a label of them says an address.
func (o *others) connectNodes(cfg *Config, log *slog.Logger) error {
	if cfg.AddressNodeLabel == "" {
		return nil
	}
	nodes := make(map[string]servers.KubernetesNodes)
	var only servers.KubernetesNodes
	for _, c := range o.clusters {
		n, err := c.Nodes(cfg.AddressNodeLabel, c.log(log))
		if err != nil {
			return err
		}
		nodes[c.file], only = n, n
		o.background = append(o.background, n.Run)
	}
	o.ready["nodes"] = func(ctx context.Context) error { // of clusters that are away no server comes
		var errs []error
		for _, n := range nodes {
			err := n.Ready(ctx)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	o.addresses.Node = func(ctx context.Context, s servers.Server) (string, error) {
		if len(nodes) == 1 {
			return only.Label(ctx, s.Node)
		}
		n := nodes[s.Cluster]
		if n == nil {
			return "", fmt.Errorf("no cluster %q", s.Cluster)
		}
		return n.Label(ctx, s.Node)
	}
	return nil
}

func (o *others) connectRedis(cfg *Config) error {
	if cfg.Redis == "" {
		return nil
	}
	client, err := cfg.RedisClient()
	if err != nil {
		return err
	}
	o.redis, o.claims = client, claims.New(client, cfg.RedisPrefix)
	o.ready["redis"] = func(ctx context.Context) error { return client.Ping(ctx).Err() }
	return nil
}

// namespaces are all that queues have their game servers in.
func (c *Config) namespaces(set *queues.Set) []string {
	var all []string
	for _, q := range set.Queues {
		all = append(all, cmp.Or(q.Allocation.Namespace, c.Namespace))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// dialAllocator connects to the allocator, or to what is called as it is.
func (c *Config) dialAllocator(addr string) (*grpc.ClientConn, error) {
	if c.AllocatorInsecure {
		return rpc.Dial(addr)
	}
	conn, err := rpc.DialTLS(addr, rpc.TLS{
		CAFile: c.AllocatorCA, CertFile: c.AllocatorCert, KeyFile: c.AllocatorKey, ServerName: c.AllocatorServerName,
	})
	if err != nil {
		return nil, fmt.Errorf("--allocator-ca, --allocator-cert, --allocator-key, --allocator-server-name: %w", err)
	}
	return conn, nil
}

// keep has a connection closed in the end.
func (o *others) keep(conn *grpc.ClientConn, err error) (*grpc.ClientConn, error) {
	if err == nil {
		o.conns = append(o.conns, conn)
	}
	return conn, err
}

func (o *others) close() {
	for _, conn := range o.conns {
		_ = conn.Close() // nothing is called any more
	}
	if o.redis != nil {
		_ = o.redis.Close() // nor is Redis
	}
}
