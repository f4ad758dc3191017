package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	v1 "torikumi/failover/api/v1"
)

// FenceRequest is what the fencing webhook gets, as JSON in a POST. It may come
// again. Any 2xx status says that the node is off, or will not write or serve
// any more; anything else, that this is not known.
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.FenceURL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call the fencing webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.FenceClient.Do(req)
	if err != nil {
		return fmt.Errorf("call the fencing webhook: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the fencing webhook answers %s", res.Status)
	}
	return nil
}
