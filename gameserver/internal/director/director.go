// Package director asks directors for players on behalf of a gate. It holds the gate's one
// credential: the token of its pod, which says which game server it belongs to and nothing
// else.
package director

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// maxToken bounds what is read of a token's file.
const maxToken = 64 << 10

// Options say where the directors are.
type Options struct {
	// Address is the host:port of BackfillService; each call may go to any of the addresses
	// of the host.
	Address string
	// CAFile holds the authorities of the directors' certificate, in PEM, and is read again
	// for each new connection. Required, unless Insecure.
	CAFile string
	// Insecure calls in plain text.
	Insecure bool
	// TokenFile holds the token, and is read for each call.
	TokenFile string
	// Registry gets the metrics.
	Registry prometheus.Registerer
}

// Client calls directors. It is safe for concurrent use.
type Client struct {
	conn    *grpc.ClientConn
	service torikumiv1.BackfillServiceClient
	file    string
	calls   *prometheus.CounterVec
}

// Dial makes a client, and does not wait for a director. The error names what is wrong
// with the files.
func Dial(o Options) (*Client, error) {
	c := &Client{file: o.TokenFile, calls: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "torikumi_gate_backfill_calls_total", Help: "Calls to a director for players, by gRPC code.",
	}, []string{"code"})}
	if _, err := c.token(); err != nil {
		return nil, err
	}
	var err error
	if o.Insecure {
		c.conn, err = rpc.Dial(o.Address, grpc.WithNoProxy())
	} else {
		c.conn, err = rpc.DialTLS(o.Address, rpc.TLS{CAFile: o.CAFile}, grpc.WithNoProxy())
	}
	if err != nil {
		return nil, err
	}
	c.service = torikumiv1.NewBackfillServiceClient(c.conn)
	o.Registry.MustRegister(c.calls)
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Fill asks for players. The error has a gRPC status.
func (c *Client) Fill(ctx context.Context, req *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	answer, err := c.fill(ctx, req)
	c.calls.WithLabelValues(status.Code(err).String()).Inc()
	return answer, err
}

func (c *Client) fill(ctx context.Context, req *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	token, err := c.token()
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return c.service.Fill(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), req)
}

// token reads the token. The error says nothing of what the file holds.
func (c *Client) token() (string, error) {
	f, err := os.Open(c.file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 || len(data) > maxToken || bytes.ContainsFunc(data, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("read the token: the file must hold one token, of printable characters")
	}
	return string(data), nil
}
