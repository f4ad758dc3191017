// Package manifests reads what manifests/ makes of each overlay, and says what is
// wrong with it: rules that every workload keeps, references that lead nowhere,
// network policies of which the two ends disagree, and requests that are more than
// the permanent node has. Its tests hold all of manifests/ to that, and try it on a
// real API server. kustomize is a library here: no binary is needed.
package manifests
