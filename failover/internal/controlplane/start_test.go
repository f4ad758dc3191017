package controlplane

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStartShowsWhyNot(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	_, err := start(t.Context(), Options{APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("start() = %v, want the API server's own words", err)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "controlplane-*")); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
}

func TestMonitorArgs(t *testing.T) {
	for grace, want := range map[time.Duration]string{
		0:               "",
		2 * time.Second: "--node-monitor-grace-period=2s --node-monitor-period=500ms",
		time.Minute:     "--node-monitor-grace-period=1m0s --node-monitor-period=5s",
	} {
		if got := strings.Join(Options{NodeMonitorGrace: grace}.monitorArgs(), " "); got != want {
			t.Errorf("monitorArgs() of %s = %q, want %q", grace, got, want)
		}
	}
}

const victimEnv = "CONTROLPLANE_TEST_VICTIM"

// TestVictim is the process that TestKilled kills.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		t.Skip("run by TestKilled")
	}
	c, err := start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("\nvictim " + c.group.dir + " " + c.etcdURL + " " + c.URL + "\n")
	select {}
}

// A process that is killed runs no cleanup; nothing may stay nevertheless.
func TestKilled(t *testing.T) {
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimEnv+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var urls, said []string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		said = append(said, lines.Text())
		if f := strings.Fields(lines.Text()); len(f) == 4 && f[0] == "victim" {
			dir, urls = f[1], f[2:]
		}
	}
	if err := victim.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = victim.Wait() // killed is how it ends
	if dir == "" {
		t.Fatalf("the victim did not start:\n%s", strings.Join(said, "\n"))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		_, err := os.Stat(dir)
		gone := os.IsNotExist(err)
		for _, url := range urls {
			response, err := client.Get(url)
			if err == nil {
				response.Body.Close()
			}
			gone = gone && err != nil && strings.Contains(err.Error(), "refused")
		}
		if gone {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s or a process is still there", dir)
		}
	}
}
