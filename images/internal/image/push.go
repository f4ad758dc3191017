package image

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"torikumi/pkg/service"
)

// Registry is where images are pushed to.
type Registry struct {
	// Prefix stands before an image's name: host[:port]/path.
	Prefix string
	// PlainHTTP allows a registry without TLS. One on this machine needs it not.
	PlainHTTP bool
}

// Repository is where an image goes to.
func (r Registry) Repository(image string) (name.Repository, error) {
	options := []name.Option{name.StrictValidation}
	if r.PlainHTTP {
		options = append(options, name.Insecure)
	}
	return name.NewRepository(r.Prefix+"/"+image, options...)
}

// Push sends an image, and its SBOM, which the registry then lists as a referrer
// of it. It returns the image's name with its digest. Who may push is in the
// configuration of docker or podman.
func (r Registry) Push(ctx context.Context, img Image, tag string) (string, error) {
	repository, err := r.Repository(img.Name)
	if err != nil {
		return "", err
	}
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithTransport(secure{remote.DefaultTransport, r.PlainHTTP}),
	}
	if err := remote.WriteIndex(repository.Tag(tag), img.Index, options...); err != nil {
		return "", err
	}
	digest, err := img.Index.Digest()
	if err != nil {
		return "", err
	}
	if img.SBOM != nil {
		of, err := img.SBOM.Digest()
		if err != nil {
			return "", err
		}
		if err := remote.Write(repository.Digest(of.String()), img.SBOM, options...); err != nil {
			return "", fmt.Errorf("its SBOM: %w", err)
		}
	}
	return repository.Digest(digest.String()).String(), nil
}

// secure refuses what is not encrypted, unless it stays on this machine:
// remote tries HTTP with every private address.
type secure struct {
	http.RoundTripper
	plainHTTP bool
}

func (s secure) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !s.plainHTTP && !service.LoopbackHost(r.URL.Host) {
		return nil, fmt.Errorf("%s has no TLS: --plain-http allows that", net.JoinHostPort(r.URL.Hostname(), r.URL.Port()))
	}
	return s.RoundTripper.RoundTrip(r)
}
