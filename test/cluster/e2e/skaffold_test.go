//go:build e2e && skaffold

package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/porttest"
	"torikumi/pkg/token"
	"torikumi/test/cluster/cluster"
)

// TestSkaffold does with skaffold.yaml what its user does, with the real skaffold
// and ko, through the cluster's registry, and without Docker. It needs
// bin/skaffold, which takes minutes to build, and has a tag of its own for that.
func TestSkaffold(t *testing.T) {
	s := newSkaffold(newHarness(t, setup{nodes: cluster.DefaultNodes(2)}))
	for _, c := range []struct {
		name string
		run  func(*skaffold)
	}{
		{"Render", (*skaffold).renderProfiles},
		{"Run", (*skaffold).deployAndDelete},
		{"Dev", (*skaffold).develop},
	} {
		if !t.Run(c.name, func(t *testing.T) {
			h := *s.harness
			h.T = t
			inner := *s
			inner.harness = &h
			c.run(&inner)
		}) {
			return
		}
	}
}

// skaffold runs it in a copy of the repository, with a home of its own.
type skaffold struct {
	*harness
	program, tree string
	env           []string
}

func newSkaffold(h *harness) *skaffold {
	h.Helper()
	program, err := filepath.Abs(root + "/bin/skaffold")
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		h.Fatalf("make skaffold makes what is missing: %v", err)
	}
	registry, home := h.cluster.Registry(), h.TempDir()
	s := &skaffold{harness: h, program: program, tree: h.copyTree(), env: []string{
		"PATH=" + filepath.Dir(h.cluster.Kubectl()) + ":" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + h.cluster.Kubeconfig,
		"SKAFFOLD_UPDATE_CHECK=false", "SKAFFOLD_INTERACTIVE=false", "SKAFFOLD_DEFAULT_REPO=" + registry,
		"KO_DEFAULTBASEIMAGE=" + registry + "/torikumi/base:dev", "DOCKER_HOST=unix://" + filepath.Join(home, "no-docker.sock"),
	}}
	for _, variable := range []string{"GOMODCACHE", "GOCACHE", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOFLAGS"} {
		out, err := exec.CommandContext(h.Context(), "go", "env", variable).Output()
		if err != nil {
			h.Fatal(err)
		}
		s.env = append(s.env, variable+"="+strings.TrimSpace(string(out)))
	}
	s.must("go", "run", "./images", "--arch="+runtime.GOARCH, "--images=base", "--output="+h.TempDir(), "--push="+registry+"/torikumi", "--plain-http")
	return s
}

// copyTree copies the repository as it is, and commits what is not. What is changed
// there is nobody's.
func (h *harness) copyTree() string {
	h.Helper()
	tree := filepath.Join(h.TempDir(), "tree")
	if _, err := h.run(nil, "git", "clone", "--quiet", "--shared", ".", tree); err != nil {
		h.Fatal(err)
	}
	if _, err := h.run(nil, "sh", "-ec", `git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read --file=- | tar --extract --directory="$0"
		cd "$0"
		git add --all
		git -c user.name=copy -c user.email=copy@example.org commit --quiet --allow-empty --message=copy`, tree); err != nil {
		h.Fatal(err)
	}
	return tree
}

// command runs in the copy.
func (s *skaffold) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), name, args...)
	cmd.Dir, cmd.Env = s.tree, s.env
	return cmd
}

// must runs a command that has to succeed, and returns its output.
func (s *skaffold) must(name string, args ...string) string {
	s.Helper()
	cmd := s.command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("%s %q: %v\n%s%s", filepath.Base(name), args, err, out, &stderr)
	}
	return string(out)
}

// renderProfiles: what skaffold.yaml says can be read, and each profile has the
// services in it.
func (s *skaffold) renderProfiles() {
	s.must(s.program, "diagnose")
	for _, profile := range []string{"", "minimatch", "hybrid"} {
		rendered := s.must(s.program, "render", "--offline", "--digest-source=none", "--profile="+profile)
		for _, service := range []string{"frontend", "matchfunction", "evaluator", "director"} {
			if !strings.Contains(rendered, "image: torikumi/"+service) {
				s.Errorf("profile %q renders no %s", profile, service)
			}
		}
	}
}

// deployAndDelete: skaffold run builds and deploys the suite, players play on it,
// and skaffold delete takes it away.
func (s *skaffold) deployAndDelete() {
	began := time.Now()
	s.must(s.program, "run")
	s.Logf("%5.1fs skaffold run", time.Since(began).Seconds())
	s.sameProgram()
	s.openPorts()
	s.play()
	s.must(s.program, "delete")
	s.nothingLeft()
	s.Logf("%5.1fs with a game and skaffold delete", time.Since(began).Seconds())
}

// sameProgram: skaffold and ko put the program into their image that make images
// puts into its own.
func (s *skaffold) sameProgram() {
	s.Helper()
	const image = "evaluator"
	host := s.cluster.Registry()
	s.must("go", "run", "./images", "--arch="+runtime.GOARCH, "--images="+image, "--output="+s.TempDir(), "--push="+host+"/torikumi", "--plain-http")
	theirs := s.pull(s.kubectl("-n", "torikumi", "get", "deployment", image, "-o", "jsonpath={.spec.template.spec.containers[0].image}"))
	ours := s.pull(host + "/torikumi/" + image + ":dev")
	if a, b := s.file(theirs, "ko-app/"+image), s.file(ours, image); a != b {
		s.Errorf("skaffold builds the program %s, make images %s", a, b)
	}
	if config, err := theirs.ConfigFile(); err != nil || config.Config.User != "65532:65532" {
		s.Errorf("%v: it is not on our base: %+v", err, config)
	}
}

func (s *skaffold) pull(reference string) v1.Image {
	s.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		s.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		s.Fatal(err)
	}
	return img
}

// file is the hash of a file of an image.
func (s *skaffold) file(img v1.Image, path string) string {
	s.Helper()
	content, err := extract(img, path)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// extract returns the content of a file of an image.
func extract(img v1.Image, path string) ([]byte, error) {
	files := mutate.Extract(img)
	defer files.Close()
	r := tar.NewReader(files)
	for {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("look for %s in the image: %w", path, err)
		}
		if strings.TrimPrefix(h.Name, "/") == path {
			return io.ReadAll(r)
		}
	}
}

// openPorts lets players in at each node's address.
func (s *skaffold) openPorts() {
	s.Helper()
	s.kubectl("apply", "-f", testdata+"suite/players.yaml")
	for _, port := range []string{"30080", "30081"} {
		s.eventually("port "+port+" is open", func() error {
			return answers(http.MethodGet, "http://"+s.node+":"+port+token.JWKSPath, "", "")
		})
	}
}

// playAt: who plays by these addresses finds a match and joins its game server.
func (h *harness) playAt(frontend, issuer string) {
	h.Helper()
	r := h.players(func(c *loadgen.Config) {
		c.Frontend, c.Issuer, c.Duration = frontend, issuer, 6*time.Second
	})
	if !r.OK {
		h.Error("not everybody has played")
	}
}

// develop: skaffold dev deploys the suite and forwards its ports; a changed line of
// a service and one of the queues are running soon, and SIGINT takes all away.
func (s *skaffold) develop() {
	frontend, issuer := s.forwardTo("8080"), s.forwardTo("8081")
	began := time.Now()
	d := s.startDev()
	d.waitFor("Watching for changes...")
	s.Logf("%5.1fs skaffold dev, until it watches", time.Since(began).Seconds())
	for _, address := range []string{frontend, issuer} {
		s.eventually(address+" is forwarded", func() error { return answers(http.MethodGet, address+token.JWKSPath, "", "") })
	}
	s.playAt(frontend, issuer)
	s.openPorts()
	api, tokens := "http://"+s.node+":30080", "http://"+s.node+":30081"

	d.turn("a line of the frontend", "frontend/internal/web/routes.go", `"Read a ticket"`, `"Read one ticket"`, func() error {
		return answers(http.MethodGet, api+"/openapi.json", "", "Read one ticket")
	})
	// A queue for two becomes one for a player alone.
	if err := lonePlayer(tokens, api); err == nil {
		s.Error("a player alone is in a match before the queue is changed")
	}
	d.turn("a line of the queues", "manifests/base/queues/queues.yaml", "      - {name: west, players: 1}\n", "", func() error {
		return lonePlayer(tokens, api)
	})
	began = time.Now()
	d.stop()
	if err := answers(http.MethodGet, frontend+"/openapi.json", "", ""); err == nil {
		s.Error("the frontend's port is still forwarded")
	}
	s.nothingLeft()
	s.Logf("%5.1fs SIGINT, until all is gone", time.Since(began).Seconds())
}

// forwardTo gives a forwarded port another number, one that is free, and returns its
// address. skaffold takes the next one if its own is not, but does not always say so.
func (s *skaffold) forwardTo(port string) string {
	s.Helper()
	file := filepath.Join(s.tree, "skaffold.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	free := porttest.Hold(s.T)
	text := strings.Replace(string(content), "localPort: "+port, fmt.Sprintf("localPort: %d", free.Port()), 1)
	if text == string(content) {
		s.Fatalf("skaffold.yaml does not forward %s", port)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	return "http://" + free.String()
}

// dev is a skaffold dev that runs.
type dev struct {
	*skaffold
	cmd  *exec.Cmd
	log  *transcript
	done chan error
}

func (s *skaffold) startDev() *dev {
	s.Helper()
	d := &dev{skaffold: s, cmd: s.command(s.program, "dev", "--watch-poll-interval=200"), log: new(transcript), done: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(os.Interrupt) }
	d.cmd.WaitDelay = time.Minute
	if err := d.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("skaffold dev\n%s", d.log.since(0))
		}
	})
	return d
}

// waitFor waits until skaffold has said something.
func (d *dev) waitFor(text string) {
	d.Helper()
	d.eventually("skaffold says "+text, func() error { return d.said(text, 0) })
}

// said reports whether skaffold has said something after the first n bytes, and
// fails the test if it has ended.
func (d *dev) said(text string, n int) error {
	select {
	case err := <-d.done:
		d.done <- err
		d.Fatalf("skaffold dev has ended: %v", err)
	default:
	}
	if !strings.Contains(d.log.since(n), text) {
		return fmt.Errorf("it has not said %q", text)
	}
	return nil
}

// turn changes a line of a file, and says how long it takes until that is in force,
// and until skaffold is ready for the next.
func (d *dev) turn(what, file, from, to string, inForce func() error) {
	d.Helper()
	file = filepath.Join(d.tree, file)
	content, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	if bytes.Count(content, []byte(from)) == 0 {
		d.Fatalf("%s has no %q", file, from)
	}
	said, began := d.log.len(), time.Now()
	if err := os.WriteFile(file, bytes.Replace(content, []byte(from), []byte(to), 1), 0o644); err != nil {
		d.Fatal(err)
	}
	d.eventually(what+" is in force", inForce)
	seconds := time.Since(began).Seconds()
	d.eventually("skaffold watches again", func() error { return d.said("Watching for changes...", said) })
	d.Logf("%5.1fs %s is in force; %.1fs until skaffold watches again", seconds, what, time.Since(began).Seconds())
}

// stop does what Ctrl-C does.
func (d *dev) stop() {
	d.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.Fatal(err)
	}
	select {
	case err := <-d.done:
		if err != nil {
			d.Fatalf("skaffold dev ends with %v", err)
		}
	case <-time.After(patience):
		d.Fatal("skaffold dev does not end")
	}
}

// answers reports whether a request is answered with 200 and a text.
func answers(method, url, authorization, text string) error {
	_, err := askBriefly(method, url, authorization, nil, text)
	return err
}

// lonePlayer reports whether a player who searches alone is soon in a match.
func lonePlayer(issuer, frontend string) error {
	body, err := askBriefly(http.MethodPost, issuer+"/v1/player-tokens", "", map[string]string{"player": "alone"}, "")
	if err != nil {
		return err
	}
	var token struct{ Token string }
	if err := json.Unmarshal(body, &token); err != nil {
		return err
	}
	return answers(http.MethodGet, frontend+"/play/eu", "Bearer "+token.Token, `"matched"`)
}

// askBriefly asks over HTTP, for as long as a player alone is let wait.
func askBriefly(method, url, authorization string, body any, text string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, http.Header{"Content-Type": {"application/json"}, "Authorization": {authorization}})
	request.Close = true // the next one may be for another pod
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !strings.Contains(string(got), text)) {
		err = fmt.Errorf("%s %s: %s: %.500s", method, url, answer.Status, got)
	}
	return got, err
}

// transcript keeps what a program has written.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *transcript) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

func (l *transcript) since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[n:])
}
