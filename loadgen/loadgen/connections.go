package loadgen

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/rpc"
)

// connections are those to a target, with a client C on each.
type connections[C any] struct {
	conns   []*grpc.ClientConn
	clients []C
}

func dial[C any](address string, n int, client func(grpc.ClientConnInterface) C, opts ...grpc.DialOption) (connections[C], error) {
	var all connections[C]
	for range n {
		conn, err := rpc.Dial(address, opts...)
		if err != nil {
			all.close()
			return all, err
		}
		all.conns = append(all.conns, conn)
		all.clients = append(all.clients, client(conn))
	}
	return all, nil
}

func (c *connections[C]) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // nobody waits for anything on it
	}
}

// answered reports whether a call with this error reached a server that knows
// the method.
func answered(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unimplemented, codes.Canceled:
		return false
	default: // NotFound, Unauthenticated, or whatever somebody there says
		return true
	}
}
