//go:build e2e

package browser

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"torikumi/pkg/requirements"
)

// patience bounds every wait for something that has to happen.
const patience = time.Minute

// addresses are where the suite is.
type addresses struct{ frontend, issuer string }

// build builds a program.
func build(t *testing.T, name, dir string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", program, dir).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// startUp runs torikumi up for the pages of an origin, until the test ends.
func startUp(t *testing.T, origin string, settings ...string) addresses {
	t.Helper()
	args := []string{"up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--ready=2", "--cors-origins=" + origin}
	up := exec.Command(build(t, "torikumi", "../../local"), append(args, settings...)...)
	up.Stderr = os.Stderr
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = up.Process.Signal(os.Interrupt)
		_, _ = out.Read(make([]byte, 64)) // what it says of its end
		if err := up.Wait(); err != nil {
			t.Errorf("torikumi up: %v", err)
		}
	})
	var at addresses
	for lines := bufio.NewScanner(out); (at.frontend == "" || at.issuer == "") && lines.Scan(); {
		if url, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "player API, HTTP"); ok {
			at.frontend = strings.TrimPrefix(strings.TrimSpace(url), "http://")
		}
		if url, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "development issuer"); ok {
			at.issuer = strings.TrimSpace(url)
		}
	}
	if at.frontend == "" || at.issuer == "" {
		t.Fatalf("torikumi up does not say where it is: %+v", at)
	}
	return at
}

// startBrowser starts Chromium without a window.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	program, err := requirements.Chromium().Find()
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(patience))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it does not start for root otherwise
	}
	allocator, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return browser
}
