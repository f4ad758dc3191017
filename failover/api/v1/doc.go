// Package v1 is the API of the failover controller: the kind NodeFailover,
// which stands for one outage of one on-premises node, from its
// first NotReady to the return of its game servers. What is in its status is
// all that the controller knows of it: a new leader goes on from there.
//
// +kubebuilder:object:generate=true
// +groupName=failover.operator.io
package v1
