// Package e2e runs the suite as it is deployed: images and manifests of this
// repository on a real cluster of several nodes, with players who join, while pods
// are deleted, deployments rolled over and a node drained. Its tests have the build
// tag e2e; `make e2e` runs them.
package e2e
