// Package controlplane runs a real Kubernetes control plane for tests: etcd,
// kube-apiserver and kube-controller-manager, with RBAC on. Only the nodes are
// missing, and Join stands in for a kubelet as far as the API server sees one.
//
// The programs are built once per machine (see Binaries); everything listens
// on loopback and is gone when the test is, even when the test is killed. It
// needs a Unix.
package controlplane
