// Package query is Open Match's query service over the store: match functions
// ask it for the waiting players of their profile's pools.
package query

import (
	"iter"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// Service implements openmatch.QueryServiceServer, with the status codes of Open
// Match 1.8. Create it with New.
type Service struct {
	openmatch.UnimplementedQueryServiceServer
	store    *store.Store
	pageSize int
}

// pageBytes is the largest page in bytes: what a gRPC client takes that nobody
// has told to take more. No ticket is larger.
const pageBytes = 4 << 20

// New returns the service. pageSize is the largest number of tickets in one
// message, at least 1.
func New(s *store.Store, pageSize int) *Service {
	return &Service{store: s, pageSize: pageSize}
}

// QueryTickets streams the pool's tickets in pages, in no particular order; an
// empty pool is an empty stream.
func (s *Service) QueryTickets(req *openmatch.QueryTicketsRequest, stream openmatch.QueryService_QueryTicketsServer) error {
	found, err := s.find(req.GetPool())
	if err != nil {
		return err
	}
	for page := range pages(found, s.pageSize, pageBytes) {
		if err := stream.Send(&openmatch.QueryTicketsResponse{Tickets: page}); err != nil {
			return err
		}
	}
	return nil
}

// QueryTicketIds is QueryTickets for the ids alone.
func (s *Service) QueryTicketIds(req *openmatch.QueryTicketIdsRequest, stream openmatch.QueryService_QueryTicketIdsServer) error {
	found, err := s.find(req.GetPool())
	if err != nil {
		return err
	}
	for page := range slices.Chunk(found, s.pageSize) { // 10,000 ids at most: they have some 20 bytes each
		ids := make([]string, len(page))
		for i, t := range page {
			ids[i] = t.GetId()
		}
		if err := stream.Send(&openmatch.QueryTicketIdsResponse{Ids: ids}); err != nil {
			return err
		}
	}
	return nil
}

// QueryBackfills is QueryTickets for the backfills that have not expired.
func (s *Service) QueryBackfills(req *openmatch.QueryBackfillsRequest, stream openmatch.QueryService_QueryBackfillsServer) error {
	f, err := read(req.GetPool())
	if err != nil {
		return err
	}
	for page := range pages(s.store.QueryBackfills(f), s.pageSize, pageBytes) {
		if err := stream.Send(&openmatch.QueryBackfillsResponse{Backfills: page}); err != nil {
			return err
		}
	}
	return nil
}

// pages cuts a list into messages of at most so many items and bytes.
func pages[M proto.Message](all []M, most, mostBytes int) iter.Seq[[]M] {
	return func(yield func([]M) bool) {
		from, bytes := 0, 0
		for i, m := range all {
			const tag = 1
			size := tag + protowire.SizeBytes(proto.Size(m))
			if i > from && (i-from == most || bytes+size > mostBytes) {
				if !yield(all[from:i:i]) {
					return
				}
				from, bytes = i, 0
			}
			bytes += size
		}
		if from < len(all) {
			yield(all[from:])
		}
	}
}

func (s *Service) find(pool *openmatch.Pool) ([]*openmatch.Ticket, error) {
	f, err := read(pool)
	if err != nil {
		return nil, err
	}
	return s.store.Query(f), nil
}

func read(pool *openmatch.Pool) (*filter.Filter, error) {
	if pool == nil {
		return nil, status.Error(codes.InvalidArgument, "pool is required")
	}
	f, err := filter.New(pool)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return f, nil
}
