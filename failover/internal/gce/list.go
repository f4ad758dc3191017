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

// list returns the VMs in a zone that are labelled as the cluster's.
func (p *Provider) list(ctx context.Context, zone, cluster string) ([]*computepb.Instance, error) {
	filter := fmt.Sprintf("(labels.%s = %q) (labels.%s = %q)", labelManaged, managedBy, labelCluster, digest(cluster))
	var all []*computepb.Instance
	err := p.pages(ctx, zone, "instances", filter, func(body []byte) (string, *computepb.Warning, error) {
		page := &computepb.InstanceList{}
		err := decode(body, "compute#instanceList", page)
		all = append(all, page.GetItems()...)
		return page.GetNextPageToken(), page.GetWarning(), err
	})
	return all, err
}

// eachOperation calls visit for the operations of a zone that match.
func (p *Provider) eachOperation(ctx context.Context, zone, filter string, visit func(*computepb.Operation) error) error {
	var all []*computepb.Operation
	err := p.pages(ctx, zone, "operations", filter, func(body []byte) (string, *computepb.Warning, error) {
		page := &computepb.OperationList{}
		err := decode(body, "compute#operationList", page)
		all = append(all, page.GetItems()...)
		return page.GetNextPageToken(), page.GetWarning(), err
	})
	if err != nil {
		return err
	}
	for _, op := range all {
		if err := visit(op); err != nil {
			return err
		}
	}
	return nil
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

// pages fetches a list to its end.
func (p *Provider) pages(ctx context.Context, zone, what, filter string, read func([]byte) (string, *computepb.Warning, error)) error {
	call := "list " + what + " in " + zone
	at := p.cfg.Endpoint + "/compute/v1/projects/" + p.cfg.Project + "/zones/" + zone + "/" + what
	query := url.Values{"filter": {filter}}
	for range maxPages {
		body, err := p.fetch(ctx, at+"?"+query.Encode())
		if err != nil {
			return failure(call, troubleOf(ctx, err), nil, "")
		}
		next, warning, err := read(body)
		if err != nil {
			return failure(call, troubleOf(ctx, err), nil, "")
		}
		if warning != nil && warning.GetCode() != "NO_RESULTS_ON_PAGE" {
			return fmt.Errorf("%s: %w: %s: %s", call, errPartial, warning.GetCode(), warning.GetMessage())
		}
		if next == "" {
			return nil
		}
		query.Set("pageToken", next)
	}
	return fmt.Errorf("%s: %w: more than %d pages", call, errPartial, maxPages)
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

// decode refuses what is not that kind of list: a page without items is an
// empty one, and "{}" of something on the way would read as such.
func decode(body []byte, kind string, page interface {
	proto.Message
	GetKind() string
}) error {
	if err := (protojson.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true}).Unmarshal(body, page); err != nil {
		return err
	}
	if !strings.EqualFold(page.GetKind(), kind) {
		return fmt.Errorf("not a %s", kind)
	}
	return nil
}
