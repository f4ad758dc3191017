package controlplane

import "time"

// Options says what Start starts. The zero value is etcd and kube-apiserver.
type Options struct {
	// ControllerManager starts kube-controller-manager too, with all of its
	// controllers: nodes go NotReady, certificates are signed, tokens expire,
	// what has a deletion timestamp goes. It starts no scheduler: pods of tests
	// name their node.
	ControllerManager bool

	// NodeMonitorGrace is for how long a node may be silent until it is
	// NotReady; 0 is Kubernetes' own 50 s. It is looked at four times in that
	// time, or every 5 s. The nodes have to beat well within it.
	NodeMonitorGrace time.Duration

	// APIServerArgs and ControllerManagerArgs come after the harness's own
	// arguments, and win.
	APIServerArgs         []string
	ControllerManagerArgs []string
}

// monitorArgs are the flags that NodeMonitorGrace means.
func (o Options) monitorArgs() []string {
	if o.NodeMonitorGrace == 0 {
		return nil
	}
	return []string{
		"--node-monitor-grace-period=" + o.NodeMonitorGrace.String(),
		"--node-monitor-period=" + min(o.NodeMonitorGrace/4, 5*time.Second).String(),
	}
}
