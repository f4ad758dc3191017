package gce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/api/googleapi"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Lists are fetched page by page here, with the library's types and
// credentials, for two things that its iterators do not do: they leave ctx out
// of the request, so that a list without an answer never ends, and they go on
// to the next page without showing a page's warning that it is not whole.

// page is one of a list.
type page[T any] interface {
	proto.Message
	GetKind() string
	GetItems() []T
	GetNextPageToken() string
	GetWarning() *computepb.Warning
}

// list returns the VMs in a zone that are labelled as the cluster's.
func (p *Provider) list(ctx context.Context, zone, cluster string) ([]*computepb.Instance, error) {
	filter := fmt.Sprintf("(labels.%s = %q) (labels.%s = %q)", labelManaged, managedBy, labelCluster, digest(cluster))
	return pages(ctx, p, zone, "instance", filter, func() page[*computepb.Instance] { return new(computepb.InstanceList) })
}

// operations returns those of a zone that match.
func (p *Provider) operations(ctx context.Context, zone, filter string) ([]*computepb.Operation, error) {
	return pages(ctx, p, zone, "operation", filter, func() page[*computepb.Operation] { return new(computepb.OperationList) })
}

var (
	// errPartial: the API answered, but not for all.
	errPartial = errors.New("the answer is a part only")
	errTooLong = errors.New("the answer is too long")
)

const (
	// maxPage is well above 500 VMs with scripts of 100 kB.
	maxPage  = 64 << 20
	maxPages = 1000
)

// pages fetches a list of what to its end.
func pages[T any](ctx context.Context, p *Provider, zone, what, filter string, empty func() page[T]) ([]T, error) {
	call := "list " + what + "s in " + zone
	at := p.cfg.Endpoint + "/compute/v1/projects/" + p.cfg.Project + "/zones/" + zone + "/" + what + "s"
	query := url.Values{"filter": {filter}}
	var all []T
	for range maxPages {
		one := empty()
		body, err := p.fetch(ctx, at+"?"+query.Encode())
		if err == nil {
			err = protojson.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true}.Unmarshal(body, one)
		}
		// A page without items is an empty one, and "{}" of something on the way
		// would read as such.
		if kind := "compute#" + what + "List"; err == nil && !strings.EqualFold(one.GetKind(), kind) {
			err = fmt.Errorf("not a %s", kind)
		}
		if err != nil {
			return nil, failure(call, troubleOf(ctx, err), nil, "")
		}
		if w := one.GetWarning(); w != nil && w.GetCode() != "NO_RESULTS_ON_PAGE" {
			return nil, fmt.Errorf("%s: %w: %s: %s", call, errPartial, w.GetCode(), w.GetMessage())
		}
		all = append(all, one.GetItems()...)
		if one.GetNextPageToken() == "" {
			return all, nil
		}
		query.Set("pageToken", one.GetNextPageToken())
	}
	return nil, fmt.Errorf("%s: %w: more than %d pages", call, errPartial, maxPages)
}

func (p *Provider) fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxPage {
		return nil, errTooLong
	}
	if err := googleapi.CheckResponseWithBody(resp, body); err != nil {
		return nil, err
	}
	return body, nil
}
