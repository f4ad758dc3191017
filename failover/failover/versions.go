package failover

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/decide"
)

// inName is a version at the end of an image's name or family: node-1-34-4, node-v1.34.
var inName = regexp.MustCompile(`(?:^|[/_-])v?(1)[.-]([0-9]{2,3})(?:[.-]([0-9]{1,3}))?$`)

// nameVersion is the version in an image's name, "" if there is none.
func nameVersion(image string) string {
	m := inName.FindStringSubmatch(image)
	switch {
	case m == nil:
		return ""
	case m[3] == "":
		return m[1] + "." + m[2]
	}
	return m[1] + "." + m[2] + "." + m[3]
}

// versions says where the versions come from: that of the image is the setting, or
// else the image's label, or else in its name.
func versions(cfg *Config, kube *rest.Config, provider cloud.Provider) (controller.Versions, error) {
	client, err := discovery.NewDiscoveryClientForConfig(kube)
	if err != nil {
		return controller.Versions{}, fmt.Errorf("ask the API server for its version: %w", err)
	}
	return controller.Versions{
		Image: func(ctx context.Context) (string, decide.Source, error) { return imageVersion(ctx, cfg, provider) },
		APIServer: func(ctx context.Context) (string, error) {
			v, err := client.ServerVersionWithContext(ctx)
			if err != nil {
				return "", err
			}
			return v.GitVersion, nil
		},
	}, nil
}

// imageVersion with an error is what the name says.
func imageVersion(ctx context.Context, cfg *Config, provider cloud.Provider) (string, decide.Source, error) {
	if cfg.ImageVersion != "" {
		return cfg.ImageVersion, decide.FromSetting, nil
	}
	var failed error
	if p, ok := provider.(cloud.Versioner); ok {
		v, err := p.ImageVersion(ctx, cfg.Image)
		if err == nil && v != "" {
			return v, decide.FromLabel, nil
		}
		failed = err
	}
	if v := nameVersion(cfg.Image); v != "" {
		return v, decide.FromName, failed
	}
	return "", "", failed
}

// logVersions says at the start whether VMs of the image can join this cluster.
func logVersions(v decide.Versions, failed error, log *slog.Logger) {
	log = log.With("image", v.Image, "source", v.Source, "api-server", v.APIServer)
	if failed != nil {
		log.Warn("the image can't be asked for its version, its name counts", "error", failed)
	}
	switch text, known := decide.Skew(v); {
	case v.Refused() != "":
		log.Warn("no VM is made, because of its image: " + text)
	case text != "":
		log.Warn("VMs are made, but may not join: " + text + "; --vm-kubernetes-version tells")
	case !known:
		log.Warn("it is not known which kubelet is in the image: --vm-kubernetes-version tells")
	default:
		log.Info("versions")
	}
}
