package gce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/api/googleapi"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/redact"
)

// trouble is what the API, or one of its operations, says is wrong.
type trouble struct {
	status  int      // HTTP, 0 if an operation has none
	reasons []string // identifiers: quotaExceeded, ZONE_RESOURCE_POOL_EXHAUSTED
	message string
	typed   bool // the API said it, and not something on the way to it
	stopped error
}

// troubleOf reads an error of the client library.
func troubleOf(ctx context.Context, err error) trouble {
	var t trouble
	switch cause := ctx.Err(); {
	case cause != nil:
		t.stopped = cause
	case errors.Is(err, context.DeadlineExceeded):
		t.stopped = context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		t.stopped = context.Canceled
	}
	var reply *googleapi.Error
	if errors.As(err, &reply) {
		t.status = reply.Code
		t.message = reply.Message
		t.typed = reply.Message != "" || len(reply.Errors) > 0
		for _, e := range reply.Errors {
			t.reasons = append(t.reasons, e.Reason)
		}
		for _, d := range reply.Details { // of type ErrorInfo, among others
			if detail, ok := d.(map[string]any); ok {
				if reason, ok := detail["reason"].(string); ok && reason != "" {
					t.reasons = append(t.reasons, reason)
				}
			}
		}
		if !t.typed { // a body that is nobody's error format is not repeated
			t.message = http.StatusText(reply.Code) + ", not from the API"
		}
		return t
	}
	var transport *url.Error
	switch {
	case errors.As(err, &transport):
		t.message = transport.Err.Error()
	case t.stopped != nil:
		t.message = t.stopped.Error()
	default:
		// The text of a decoder can hold a part of what it failed on, and that
		// a part of a startup script.
		t.message = "the answer is cut off or cannot be read"
	}
	return t
}

// failed reports whether an operation is over and has failed, and why. The
// client's Wait and Poll look at the HTTP status alone, and operations can
// fail without one.
func failed(op *computepb.Operation) (trouble, bool) {
	status := int(op.GetHttpErrorStatusCode())
	if op.GetStatus() != computepb.Operation_DONE || op.GetError() == nil && (status == 0 || status/100 == 2) {
		return trouble{}, false
	}
	t := trouble{status: status, message: op.GetHttpErrorMessage(), typed: true}
	var messages []string
	for _, e := range op.GetError().GetErrors() {
		t.reasons = append(t.reasons, e.GetCode())
		for _, d := range e.GetErrorDetails() {
			if r := d.GetErrorInfo().GetReason(); r != "" {
				t.reasons = append(t.reasons, r)
			}
		}
		messages = append(messages, e.GetMessage())
	}
	if len(messages) > 0 {
		t.message = strings.Join(messages, "; ")
	}
	return t, true
}

// has reports whether one of the reasons contains one of the words, however
// they are written: the API says quotaExceeded, operations QUOTA_EXCEEDED.
func (t trouble) has(words ...string) bool {
	for _, r := range t.reasons {
		r = strings.ToLower(strings.ReplaceAll(r, "_", ""))
		for _, w := range words {
			if strings.Contains(r, w) {
				return true
			}
		}
	}
	return false
}

// kind is the contract's error for a VM that was refused, nil for what
// may pass. The order matters: a stock-out and a rate limit can come as a 403,
// 429 or 503, and only what remains is judged by its status.
func (t trouble) kind() error {
	switch {
	case !t.typed:
		return nil
	case t.has("resourcepoolexhausted", "stockout", "resourceavailability"),
		strings.Contains(t.message, "does not have enough resources available"):
		return cloud.ErrStockout
	case t.has("ratelimitexceeded", "rateexceeded"): // of calls, not of VMs
		return nil
	case t.has("quotaexceeded", "limitexceeded", "resourceexhausted"):
		return cloud.ErrQuota
	case t.has("notready", "resourceinuse", "operationinprogress"):
		return nil
	}
	switch t.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
		http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge:
		return cloud.ErrInvalid
	}
	if t.has("invalid", "notfound", "unsupported", "permission", "forbidden", "conditionnotmet", "policyviolated", "alreadyexists") {
		return cloud.ErrInvalid
	}
	return nil
}

// exists reports whether the name is taken by a VM, as a conflict of a call
// or of an operation. A disk in the way is another thing.
func (t trouble) exists(r cloud.Ref) bool {
	return t.typed && t.has("alreadyexists") && (t.status == http.StatusConflict || t.status == 0) && t.names(r)
}

// absent reports whether the API says that this very VM does not exist, and
// not its zone, its project or the metadata server on the way to a token.
func (t trouble) absent(r cloud.Ref) bool {
	return t.typed && t.status == http.StatusNotFound && t.has("notfound") && t.names(r)
}

// names reports whether the message is about the machine: "The resource
// 'projects/P/zones/Z/instances/N' was not found".
func (t trouble) names(r cloud.Ref) bool {
	return strings.Contains(t.message, "/zones/"+r.Zone+"/instances/"+r.Name+"'")
}

// callError is what callers see. The client library's own errors can hold
// whole bodies, so none of them is kept.
type callError struct {
	of    trouble
	text  string
	kind  error
	cause error
}

func (e *callError) Error() string { return e.text }

func (e *callError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.kind, e.cause}, func(err error) bool { return err == nil })
}

// failure makes the error for one call. secret must not be in it.
func failure(call string, t trouble, kind error, secret string) error {
	what := strings.Join(t.reasons, ", ")
	if t.status != 0 {
		what = strings.TrimSuffix(fmt.Sprintf("%d, %s", t.status, what), ", ")
	}
	if what != "" {
		what = " (" + what + ")"
	}
	text := fmt.Sprintf("%s: %s%s", call, redact.Short(redact.Script(secret)(t.message)), what)
	if kind != nil {
		text = kind.Error() + ": " + text
	}
	return &callError{of: t, text: text, kind: kind, cause: t.stopped}
}

// hopeless makes the error of a call on the way to an insert ErrInvalid, if the
// insert can't be had like this: no such zone, no permission to look.
func hopeless(err error) error {
	var c *callError
	if errors.As(err, &c) && c.kind == nil && errors.Is(c.of.kind(), cloud.ErrInvalid) {
		return &callError{of: c.of, text: cloud.ErrInvalid.Error() + ": " + c.text, kind: cloud.ErrInvalid, cause: c.cause}
	}
	return err
}
