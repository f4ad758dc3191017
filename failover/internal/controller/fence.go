package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	v1 "torikumi/failover/api/v1"
)

// FenceRequest is what the fencing webhook gets, as JSON in a POST. It may come
// again. Any 2xx status says that the node is off, or will not write or serve
// any more; anything else, that this is not known. A redirect is not followed:
// the page at its end knows nothing of the node.
type FenceRequest struct {
	Node     string `json:"node"`
	NodeUID  string `json:"nodeUID"`
	Failover string `json:"failover"`
}

func (r *Reconciler) callFence(ctx context.Context, f *v1.NodeFailover) error {
	q := FenceRequest{Node: f.Spec.OnpremNodeName, Failover: string(f.UID)}
	if f.Status.Recorded != nil {
		q.NodeUID = string(f.Status.Recorded.UID)
	}
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.opts.FenceURL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call the fencing webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	once := *r.opts.FenceClient
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := once.Do(req)
	if err != nil {
		// Not the address: it may hold a secret, and this goes into a condition.
		if failed := new(url.Error); errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("call the fencing webhook: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the fencing webhook answers %s", res.Status)
	}
	return nil
}
