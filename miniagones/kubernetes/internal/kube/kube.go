// Package kube finds the cluster that a program talks to, and keeps its libraries
// in order.
package kube

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"torikumi/pkg/config"
)

// Config is the access that a kubeconfig file describes; without one, that of the
// pod in which the program runs. client-go's own limit of the rate is too low for
// a fleet; the API server has limits of its own.
func Config(file string) (*rest.Config, error) {
	var c *rest.Config
	var err error
	if file == "" {
		c, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, config.Missing("kubeconfig", "this is no pod of a cluster")
		}
	} else {
		c, err = clientcmd.BuildConfigFromFlags("", file)
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: must be a kubeconfig file: %w", err)
	}
	c.UserAgent = "miniagones"
	c.QPS, c.Burst = 500, 1000
	return c, nil
}

// LogTo is where the libraries log what nobody gave them a logger for. It holds
// for the whole process, and is not safe beside any use of the libraries: a
// program calls it first.
func LogTo(log *slog.Logger) {
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
}
