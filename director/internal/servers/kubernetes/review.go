package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"torikumi/director/internal/review"
)

const (
	reviewAPI = "/apis/authentication.k8s.io/v1/tokenreviews"
	// podName is what a token that was projected into a pod says of it beside the user.
	podName = "authentication.kubernetes.io/pod-name"
	// serviceAccount begins the name of a user who is a service account.
	serviceAccount = "system:serviceaccount:"
)

// Reviewer is a review.Reviewer that has the API server look at tokens.
type Reviewer struct{ client rest.Interface }

// NewReviewer makes a Reviewer.
func NewReviewer(config *rest.Config) (*Reviewer, error) {
	client, err := newREST(config)
	return &Reviewer{client: client}, err
}

// tokenReview is a TokenReview.
type tokenReview struct {
	Kind       string       `json:"kind"`
	APIVersion string       `json:"apiVersion"`
	Spec       reviewSpec   `json:"spec"`
	Status     reviewStatus `json:"status"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences"`
}

type reviewStatus struct {
	Authenticated bool     `json:"authenticated"`
	Audiences     []string `json:"audiences"`
	User          struct {
		Username string              `json:"username"`
		Extra    map[string][]string `json:"extra"`
	} `json:"user"`
}

// Review implements review.Reviewer.
func (r *Reviewer) Review(ctx context.Context, token string) (review.Identity, error) {
	body, err := json.Marshal(tokenReview{
		Kind: "TokenReview", APIVersion: "authentication.k8s.io/v1",
		Spec: reviewSpec{Token: token, Audiences: []string{review.Audience}},
	})
	if err != nil {
		return review.Identity{}, err
	}
	answer, err := r.client.Post().AbsPath(reviewAPI).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Raw()
	if err != nil {
		return review.Identity{}, fmt.Errorf("review token: %w", err)
	}
	var got tokenReview
	if err := json.Unmarshal(answer, &got); err != nil {
		return review.Identity{}, fmt.Errorf("review token: answer: %w", err)
	}
	return identity(got.Status)
}

// identity is the pod of a token. An API server that does not know audiences answers
// without them: what it says then counts for nothing.
func identity(s reviewStatus) (review.Identity, error) {
	switch {
	case !s.Authenticated:
		return review.Identity{}, fmt.Errorf("%w: not authenticated", review.ErrRefused)
	case !slices.Contains(s.Audiences, review.Audience):
		return review.Identity{}, fmt.Errorf("%w: not for the audience %s", review.ErrRefused, review.Audience)
	}
	of, ok := strings.CutPrefix(s.User.Username, serviceAccount)
	namespace, name, found := strings.Cut(of, ":")
	pods := s.User.Extra[podName]
	if !ok || !found || namespace == "" || name == "" || len(pods) != 1 || pods[0] == "" {
		return review.Identity{}, fmt.Errorf("%w: %q is no pod's", review.ErrRefused, s.User.Username)
	}
	return review.Identity{Namespace: namespace, Name: pods[0]}, nil
}
