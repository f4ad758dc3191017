package cluster

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"text/template"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

//go:embed addons.yaml
var addons string

// applyAddons applies what every cluster has: its DNS and runtime classes.
func (c *Cluster) applyAddons(ctx context.Context) error {
	t, err := template.New("addons.yaml").Option("missingkey=error").Parse(addons)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, map[string]string{"Image": corednsImage, "Address": dnsAddress, "Node": c.options.Nodes[0].Name}); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.path("bin", "kubectl"), "--kubeconfig", c.Kubeconfig, "apply", "--server-side", "-f", "-")
	cmd.Stdin = &text
	_, err = output(cmd)
	return err
}

// dnsReady waits until CoreDNS answers.
func (c *Cluster) dnsReady(ctx context.Context) error {
	return wait(ctx, 100*time.Millisecond, func() error {
		d, err := c.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas == 0 {
			return fmt.Errorf("CoreDNS is not available")
		}
		return nil
	})
}
