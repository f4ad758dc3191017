package web

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// parseQueries makes all gateways of the process read queries strictly: the
// library keeps the parser in a variable of its own, which must not be written
// again when another frontend starts in a process where one serves.
var parseQueries = sync.OnceFunc(func() { runtime.NewServeMux(runtime.SetQueryParameterParser(strictQuery{})) })

// newGateway makes the JSON mapping of the API.
func newGateway() *runtime.ServeMux {
	parseQueries()
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &strictJSON{runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{UseProtoNames: true},
		}}),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		// Clients speak HTTP: none of their headers but Authorization, which
		// the gateway passes on by itself, becomes gRPC metadata, and none of
		// ours comes out.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
	)
}

// bounded gives the calls of the gateway a deadline of ours, whatever the client
// says, and their answers the headers that all need.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Tickets and tokens are for the caller and for now.
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Header.Del("Grpc-Timeout")
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// fault is what is wrong with a body or a query. The gateway passes only its
// text on, so the text has a form that parseFault reads again.
type fault struct{ field, rule string }

const faultMark = "wrong field "

func (f fault) Error() string { return faultMark + f.field + ": " + f.rule }

func parseFault(message string) (problem.Field, bool) {
	rest, ok := strings.CutPrefix(message, faultMark)
	if !ok {
		return problem.Field{}, false
	}
	field, rule, ok := strings.Cut(rest, ": ")
	return problem.Field{Field: field, Rule: rule}, ok
}

// strictJSON reads exactly one JSON object without unknown or repeated fields.
type strictJSON struct{ runtime.JSONPb }

// NewDecoder implements runtime.Marshaler.
func (j *strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return j.Unmarshal(data, v)
	})
}

// Unmarshal implements runtime.Marshaler.
func (j *strictJSON) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot read a %T", v)
	}
	if len(data) == 0 {
		// As an empty object: the rules say what is missing.
		return io.EOF
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return bodyFault(err)
	}
	return nil
}

// jsonFaults are the parts of protojson's messages that name a field.
var jsonFaults = []struct {
	pattern *regexp.Regexp
	rule    string
}{
	{regexp.MustCompile(`unknown field "([^"]{1,64})"`), "unknown field"},
	{regexp.MustCompile(`duplicate field "([^"]{1,64})"`), "must be given once"},
	{regexp.MustCompile(`invalid value for \w+ field (\w{1,64})`), "wrong type or value"},
	{regexp.MustCompile(`duplicate map key "?([^"]{1,64})"?`), "must be given once"},
	{regexp.MustCompile(`error parsing "?([^",]{1,64})"?, oneof`), "must be the only one of its alternatives"},
}

// bodyFault names the field as well as protojson lets us.
func bodyFault(err error) fault {
	for _, f := range jsonFaults {
		if m := f.pattern.FindStringSubmatch(err.Error()); m != nil {
			return fault{strings.ReplaceAll(m[1], ": ", " "), f.rule}
		}
	}
	return fault{"body", "must be one JSON object as the API describes it, in UTF-8"}
}

// strictQuery reads the query of the only method that has one.
type strictQuery struct{}

// Parse implements runtime.QueryParameterParser.
func (strictQuery) Parse(m proto.Message, values url.Values, _ *utilities.DoubleArray) error {
	req, ok := m.(*torikumiv1.WaitTicketRequest)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !ok || name != "timeout" {
			return fault{strings.ReplaceAll(name, ": ", " "), "unknown parameter"}
		}
		if len(values[name]) != 1 {
			return fault{name, "must be given once"}
		}
		d, err := time.ParseDuration(values.Get(name))
		if err != nil {
			return fault{name, `must be a duration such as "30s"`}
		}
		req.Timeout = durationpb.New(d)
	}
	return nil
}

// writeError answers with the problem of a failed call.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	fromError(err).Write(w)
}

func fromError(err error) problem.Problem {
	st := status.Convert(err)
	if field, ok := parseFault(st.Message()); ok && st.Code() == codes.InvalidArgument {
		return problem.New(http.StatusBadRequest, "the request cannot be read", field)
	}
	if st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "larger than max") {
		return problem.New(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	p := problem.FromError(err)
	switch {
	case st.Code() == codes.Unavailable && p.Reason == "":
		// From the transport, not from our handlers: the text is gRPC's.
		p.Detail = "the service is not available; try again"
	case st.Code() == codes.InvalidArgument && len(p.Errors) == 0:
		p.Detail = "the request cannot be read"
	}
	return p
}

// writeRoutingError answers requests that no method is mapped to.
func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, code int) {
	detail := map[int]string{
		http.StatusNotFound:         "there is nothing at this path",
		http.StatusMethodNotAllowed: "this path does not take this method",
		http.StatusBadRequest:       "the path cannot be read",
	}[code]
	problem.Write(w, code, detail)
}
