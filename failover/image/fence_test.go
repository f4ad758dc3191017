package image_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"torikumi/pkg/porttest"
)

// fenced is a root directory in which the watchdog runs, with stand-ins for what it
// calls. Time passes when it sleeps: a second of the clock for each that it wants.
type fenced struct {
	*testing.T
	root string
}

const twoServers = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: c\n"

// newFenced is a node with a game's pod, which has two containers and a sandbox, and
// another pod. away says by the second which of the API servers do not answer.
func newFenced(t *testing.T, away string) *fenced {
	m := &fenced{t, t.TempDir()}
	m.write("etc/kubernetes/kubelet.conf", twoServers, 0o600)
	m.write("proc/uptime", "1000.50 1.1\n", 0o644)
	m.write("running", "game-1\nsidecar-1\nsandbox-1\nvoice-1\nsandbox-2\n", 0o644)
	m.program("sleep", `read -r up _ <"$ROOT/proc/uptime"; up=${up%%.*}; echo "$((up + $1)).0 1" >"$ROOT/proc/uptime"
[ "$((up + $1))" -lt "$((1000 + UNTIL))" ] || kill "$PPID"`)
	m.program("timeout", `shift; exec "$@"`)
	m.program("systemctl", `read -r up _ <"$ROOT/proc/uptime"; echo "$((${up%%.*} - 1000)) systemctl $*" >>"$ROOT/log"`)
	m.program("curl", `read -r up _ <"$ROOT/proc/uptime"; at=$((${up%%.*} - 1000)); url=${*: -1}
[[ "$*" == *"--cacert $ROOT/etc/kubernetes/pki/ca.crt"* ]] || exit 60
`+away+`
exit 0`)
	m.program("ctr", `[ "$1 $2" = "--namespace k8s.io" ] || exit 1
shift 2
case "$1 $2" in
"tasks ls") echo "TASK PID STATUS"; while read -r id; do echo "$id 1 RUNNING"; done <"$ROOT/running"; echo "ended 2 STOPPED" ;;
"containers ls") case $4 in
	*agones*) [ "$4" = 'labels."agones.dev/role"==gameserver' ] && echo sandbox-1 ;;
	*==uid-1) printf 'sandbox-1\ngame-1\nsidecar-1\nended\n' ;;
	esac ;;
"containers info") printf '{\n  "Labels": {\n    "io.kubernetes.pod.name": "p",\n    "io.kubernetes.pod.uid": "uid-%s",\n' "${3#sandbox-}" ;;
"tasks kill") exec 9>"$ROOT/lock"; flock 9
	read -r up _ <"$ROOT/proc/uptime"; echo "$((${up%%.*} - 1000)) $4 $5" >>"$ROOT/log"
	[ -e "$ROOT/deaf" ] && [ "$4" = SIGTERM ] && exit 0
	[ -e "$ROOT/immortal" ] && exit 1
	grep -vx "$5" "$ROOT/running" >"$ROOT/running.new"; mv "$ROOT/running.new" "$ROOT/running" ;;
*) exit 1 ;;
esac`)
	return m
}

func (m *fenced) write(name, content string, mode os.FileMode) {
	m.Helper()
	name = filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), mode)); err != nil {
		m.Fatal(err)
	}
}

func (m *fenced) program(name, body string) {
	m.write("bin/"+name, "#!/bin/bash\n"+body+"\n", 0o755)
}

// run lets the watchdog run for so many seconds of its clock, and returns what it has
// done, each with the second.
func (m *fenced) run(until int, env ...string) (acts []string, said string) {
	m.Helper()
	text := regexp.MustCompile(`([\s=<])/(etc|proc|run)/`).ReplaceAllString(printed(m.T, "/usr/local/bin/torikumi-fence"), "${1}"+m.root+"/${2}/")
	m.write("fence", text, 0o755)
	cmd := exec.CommandContext(m.Context(), filepath.Join(m.root, "fence"))
	cmd.Env = append([]string{"PATH=" + m.root + "/bin:/usr/bin:/bin", "ROOT=" + m.root, "FENCE_AFTER=60", "UNTIL=" + strconv.Itoa(until)}, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		m.Fatalf("it ends by itself: %v\n%s", err, out)
	}
	log, _ := os.ReadFile(filepath.Join(m.root, "log"))
	return strings.Split(strings.TrimSuffix(string(log), "\n"), "\n"), string(out)
}

func (m *fenced) left() string {
	left, err := os.ReadFile(filepath.Join(m.root, "running"))
	if err != nil {
		m.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(left)), "\n", " ")
}

const cutOff = `[ "$at" -ge 100 ] && exit 28`

// Nothing answers from second 100 on: at the first look from 160 on the kubelet is
// stopped, and then the game's containers are, and no others.
func TestFence(t *testing.T) {
	m := newFenced(t, cutOff)
	acts, said := m.run(300)
	if !strings.HasSuffix(acts[0], " systemctl stop kubelet") {
		t.Fatalf("%q\n%s", acts, said)
	}
	var at int
	if _, err := fmt.Sscan(acts[0], &at); err != nil || at < 155 || at > 165 {
		t.Errorf("it is stopped at second %d", at)
	}
	slices.Sort(acts[1:4]) // they are killed side by side
	for i, id := range []string{"game-1", "sandbox-1", "sidecar-1"} {
		if want := fmt.Sprintf("%d SIGTERM %s", at, id); acts[i+1] != want {
			t.Errorf("%q instead of %q", acts[i+1], want)
		}
	}
	if left := m.left(); left != "voice-1 sandbox-2" {
		t.Errorf("what runs is %q", left)
	}
	if !strings.Contains(said, "no API server has answered for 6") || strings.Count(said, "game servers are stopped\n") != 1 || strings.Contains(said, "still run") {
		t.Error(said)
	}
	// Where nothing runs any more, nothing is killed again.
	for _, a := range acts[4:] {
		if !strings.HasSuffix(a, "systemctl stop kubelet") {
			t.Errorf("%q", a)
		}
	}
}

// What must not stop a game.
func TestFenceDoesNotFire(t *testing.T) {
	witness, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	for name, tt := range map[string]struct {
		away string
		env  []string
		node func(*fenced)
	}{
		"the first of two API servers is away":  {away: `[[ $url == https://10.0.0.1:* ]] && exit 7`, env: []string{"FENCE_SERVERS=10.0.0.2:6443,10.0.0.3:6443"}},
		"the other of two API servers is away":  {away: `[[ $url == https://10.0.0.2:* ]] && exit 7`, env: []string{"FENCE_SERVERS=10.0.0.2:6443"}},
		"one after the other is upgraded":       {away: `[[ $url == https://10.0.0.$((at / 100 % 3 + 1)):* ]] && exit 7`, env: []string{"FENCE_SERVERS=10.0.0.2:6443,10.0.0.3:6443"}},
		"a blink of less than that":             {away: `[ "$((at % 100))" -ge 45 ] && exit 28`},
		"an API server answers 500":             {away: `[[ "$*" == *--fail* ]] && exit 22`},
		"all API servers are away, and witness": {away: cutOff, env: []string{"FENCE_WITNESSES=192.0.2.1:1," + witness.Addr().String()}, node: func(m *fenced) { m.program("timeout", `shift; [[ "$*" == *192.0.2.1* ]] && exit 124; exec "$@"`) }},
		"has not joined":                        {away: cutOff, node: func(m *fenced) { m.write("etc/kubernetes/kubelet.conf", "", 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFenced(t, tt.away)
			if tt.node != nil {
				tt.node(m)
			}
			if acts, said := m.run(600, tt.env...); acts[0] != "" || m.left() != "game-1 sidecar-1 sandbox-1 voice-1 sandbox-2" {
				t.Errorf("%q\n%s", acts, said)
			}
		})
	}
}

func TestFenceFires(t *testing.T) {
	dead := porttest.Hold(t).String()
	for name, tt := range map[string]struct {
		env  []string
		node func(*fenced)
		want []string
		left string
	}{
		"all three API servers are away": {env: []string{"FENCE_SERVERS=10.0.0.2:6443,10.0.0.3:6443"}, want: []string{"SIGTERM game-1"}},
		"the witness is away too":        {env: []string{"FENCE_WITNESSES=" + dead}, want: []string{"SIGTERM game-1"}},
		"somebody else answers":          {node: func(m *fenced) { m.program("curl", "exit 60") }, want: []string{"SIGTERM game-1"}},
		"games that ignore SIGTERM":      {node: func(m *fenced) { m.write("deaf", "", 0o600) }, want: []string{"SIGTERM game-1", "SIGKILL game-1"}},
		"a kubelet that does not stop": {node: func(m *fenced) {
			m.program("timeout", `[ "$2 $3" != "systemctl stop" ] || { echo "0 stop has $1 s" >>"$ROOT/log"; exit 124; }; shift; exec "$@"`)
		}, want: []string{"stop has 5 s", "systemctl kill --signal=SIGKILL kubelet", "SIGTERM game-1"}},
		"nor can be killed": {node: func(m *fenced) { m.program("systemctl", "exit 1") }, want: []string{"SIGTERM game-1"}},
		"what cannot be killed is tried again": {
			node: func(m *fenced) { m.write("immortal", "", 0o600) }, want: []string{"SIGKILL game-1", "SIGKILL game-1"}, left: "game-1 sidecar-1 sandbox-1 voice-1 sandbox-2",
		},
		"containerd does not answer": {node: func(m *fenced) { m.program("ctr", "exit 1") }, left: "game-1 sidecar-1 sandbox-1 voice-1 sandbox-2"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFenced(t, cutOff)
			if tt.node != nil {
				tt.node(m)
			}
			if tt.left == "" {
				tt.left = "voice-1 sandbox-2"
			}
			acts, said := m.run(220, tt.env...)
			all := strings.Join(acts, "\n")
			for _, want := range tt.want {
				i := strings.Index(all, want)
				if i < 0 {
					t.Fatalf("no %q in %q\n%s", want, acts, said)
				}
				all = all[i+len(want):]
			}
			if left := m.left(); left != tt.left {
				t.Errorf("what runs is %q, want %q\n%s", left, tt.left, said)
			}
			if still := strings.Contains(said, "some game servers still run"); still != strings.Contains(tt.left, "game-1") {
				t.Error(said)
			}
		})
	}
}

// All API servers are asked at once: one that does not answer holds no other up.
func TestFenceAsksSideBySide(t *testing.T) {
	m := newFenced(t, `: >"$ROOT/asked-${url//[^0-9]/}"
for ((n = 0; n < 3000; n++)); do
	all=("$ROOT"/asked-*)
	[ ${#all[@]} -lt 3 ] || exit 28
	/bin/sleep 0.01
done
echo "0 alone" >>"$ROOT/log"; exit 28`)
	acts, said := m.run(30, "FENCE_SERVERS=10.0.0.2:6443,10.0.0.3:6443")
	if slices.Contains(acts, "0 alone") {
		t.Errorf("one waits for the other: %q\n%s", acts, said)
	}
}

// A look begins every 5 s, however long the one before has taken, so that the end
// comes when the documentation says: at most 9 s late.
func TestFenceLooksInTime(t *testing.T) {
	m := newFenced(t, `echo "$at look" >>"$ROOT/log"
[ "$at" -lt 100 ] || { echo "$((1000 + at + 4)).0 1" >"$ROOT/proc/uptime"; exit 28; }`)
	acts, said := m.run(300)
	var looks []int
	for _, a := range acts {
		var at int
		if _, err := fmt.Sscan(a, &at); err != nil {
			t.Fatal(a)
		}
		if strings.HasSuffix(a, "stop kubelet") {
			if at < 155 || at > 169 {
				t.Errorf("the kubelet is stopped at second %d", at)
			}
			break
		}
		looks = append(looks, at)
	}
	for i := range looks[1:] {
		if pause := looks[i+1] - looks[i]; pause != 5 {
			t.Errorf("a look at second %d and the next at %d\n%s", looks[i], looks[i+1], said)
		}
	}
}

// The API server is back: the kubelet is started, once, and the next cut counts anew.
func TestFenceEnds(t *testing.T) {
	m := newFenced(t, `[ "$at" -ge 100 ] && [ "$at" -lt 250 ] || [ "$at" -ge 400 ] && exit 28`)
	acts, said := m.run(600)
	var starts, stops []int
	for _, a := range acts {
		var at int
		if _, err := fmt.Sscan(a, &at); err != nil {
			t.Fatalf("%q", a)
		}
		switch {
		case strings.HasSuffix(a, "start kubelet"):
			starts = append(starts, at)
		case strings.HasSuffix(a, "stop kubelet"):
			stops = append(stops, at)
		}
	}
	if len(starts) != 1 || starts[0] < 250 || starts[0] > 260 {
		t.Errorf("started at %v\n%s", starts, said)
	}
	for _, at := range stops {
		if at < 155 || at > 260 && at < 455 {
			t.Errorf("stopped at second %d", at)
		}
	}
	if last := stops[len(stops)-1]; last < 455 {
		t.Errorf("the second cut stops nothing: %v", stops)
	}
}

// Who restarts the watchdog while it has stopped games does not lose the kubelet.
func TestFenceRestarted(t *testing.T) {
	m := newFenced(t, cutOff)
	m.run(200)
	m.write("proc/uptime", "1000.0 1\n", 0o644)
	m.write("log", "", 0o644)
	if acts, said := m.run(90); len(acts) != 1 || !strings.HasSuffix(acts[0], "systemctl start kubelet") {
		t.Errorf("%q\n%s", acts, said)
	}
}

// Real shells take it for a script.
func TestFenceIsShell(t *testing.T) {
	check := exec.CommandContext(context.Background(), "bash", "-n")
	check.Stdin = strings.NewReader(printed(t, "/usr/local/bin/torikumi-fence"))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	unit := printed(t, "/etc/systemd/system/torikumi-fence.service", "--fence-after=80", "--fence-servers=10.0.0.2:6443,[fd00::2]:6443", "--fence-witnesses=10.0.0.9:22")
	if !strings.Contains(unit, "\nEnvironment=FENCE_AFTER=80 FENCE_SERVERS=10.0.0.2:6443,[fd00::2]:6443 FENCE_WITNESSES=10.0.0.9:22\n") || !strings.Contains(unit, "\nRestart=always\n") {
		t.Error(unit)
	}
}
