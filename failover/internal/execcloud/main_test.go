//go:build unix

package execcloud_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/internal/execcloud"
	"torikumi/pkg/config"
)

// stateVar makes this test binary a program for the provider, with its machines
// in that directory.
const stateVar = "EXECCLOUD_TEST_STATE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(stateVar); dir != "" && len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(program(dir, os.Args[1]))
	}
	goleak.VerifyTestMain(m)
}

// behaviour is how the program does its next run of a verb; it stands in a file
// named after the verb.
type behaviour struct {
	Out    string // instead of the answer
	Err    string // to standard error
	Exit   int
	Before bool   // Out, Exit and Hang come before the effect
	Hang   bool   // for good, with a child
	Code   string // error to answer, without an effect
	Later  string // error that a create runs into later
	Stay   bool   // another time too
}

type testMachine struct {
	Answer map[string]any
	Later  string
	Failed string
}

func program(dir, verb string) int {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 3
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 3
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return 3
	}
	_ = os.WriteFile(filepath.Join(dir, "request-"+verb), in, 0o600)
	var b behaviour
	file := filepath.Join(dir, verb)
	if text, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(text, &b)
		if !b.Stay {
			os.Remove(file)
		}
	}
	fmt.Fprint(os.Stderr, strings.ReplaceAll(b.Err, "STDIN", string(in)))
	early := func() bool { return b.Out != "" || b.Exit != 0 || b.Hang }
	finish := func(answer any) int {
		if b.Hang {
			hang(dir)
		}
		if b.Out != "" {
			fmt.Print(b.Out)
		} else if b.Exit == 0 {
			_ = json.NewEncoder(os.Stdout).Encode(answer)
		}
		return b.Exit
	}
	if b.Before && early() {
		lock.Close()
		return finish(nil)
	}
	if b.Code != "" {
		return finish(failure(b.Code))
	}
	answer := carryOut(dir, verb, in, b)
	lock.Close()
	return finish(answer)
}

// hang tells its number and that of a child, and waits with it.
func hang(dir string) {
	child, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		os.Exit(3)
	}
	_ = os.WriteFile(filepath.Join(dir, "hanging.new"), fmt.Appendf(nil, "%d %d", os.Getpid(), child.Pid), 0o600)
	_ = os.Rename(filepath.Join(dir, "hanging.new"), filepath.Join(dir, "hanging"))
	_, _ = child.Wait()
}

func failure(code string) any {
	return map[string]any{"version": 1, "error": map[string]any{"code": code, "message": "as the test wants"}}
}

func load(dir string) map[string]*testMachine {
	all := make(map[string]*testMachine)
	if text, err := os.ReadFile(filepath.Join(dir, "machines")); err == nil {
		_ = json.Unmarshal(text, &all)
	}
	return all
}

func save(dir string, all map[string]*testMachine) {
	text, _ := json.Marshal(all)
	_ = os.WriteFile(filepath.Join(dir, "machines"), text, 0o600)
}

func carryOut(dir, verb string, in []byte, b behaviour) any {
	var req struct {
		Name, Zone string
		Owner      map[string]any
	}
	_ = json.Unmarshal(in, &req)
	all := load(dir)
	key := req.Zone + "/" + req.Name
	m := all[key]
	answer := map[string]any{"version": 1}
	switch verb {
	case "create":
		if m != nil && m.Failed != "" {
			if m.Failed == "Transient" {
				delete(all, key)
				save(dir, all)
			}
			return failure(m.Failed)
		}
		if m == nil {
			all[key] = &testMachine{Later: b.Later, Answer: map[string]any{
				"name": req.Name, "zone": req.Zone, "owner": req.Owner, "state": "Creating", "providerID": "test://" + key,
				"created": time.Now().UTC().Format(time.RFC3339),
			}}
			save(dir, all)
		}
	case "list":
		machines := []any{}
		for _, m := range all {
			if m.Failed == "" {
				machines = append(machines, m.Answer)
			}
		}
		answer["machines"] = machines
	default:
		if m == nil || m.Failed != "" {
			return failure("NotFound")
		}
		if verb == "get" {
			answer["machine"] = m.Answer
			break
		}
		m.Answer["state"] = "Stopping"
		save(dir, all)
	}
	return answer
}

// harness is a provider whose program is this binary.
type harness struct {
	*testing.T
	*execcloud.Provider
	dir string
	log *strings.Builder
}

func newHarness(t *testing.T, set ...func(*execcloud.Config)) *harness {
	t.Helper()
	r := &harness{T: t, dir: t.TempDir(), log: &strings.Builder{}}
	t.Setenv(stateVar, r.dir)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a program under the race detector would take a second to end
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var cfg execcloud.Config
	config.Default(&cfg)
	cfg.Program, cfg.Zones, cfg.Environment = self, []string{"rack-1", "rack-2"}, []string{stateVar, "GORACE"}
	for _, f := range set {
		f(&cfg)
	}
	r.Provider, err = execcloud.New(cfg, slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// does tells the program how to do its next run of a verb.
func (r *harness) does(verb string, b behaviour) {
	r.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, verb), text, 0o600); err != nil {
		r.Fatal(err)
	}
}

func (r *harness) change(do func(key string, m *testMachine) *testMachine) {
	all := load(r.dir)
	for k, m := range all {
		if all[k] = do(k, m); all[k] == nil {
			delete(all, k)
		}
	}
	save(r.dir, all)
}

func (r *harness) settle() {
	r.change(func(_ string, m *testMachine) *testMachine {
		switch {
		case m.Answer["state"] == "Stopping":
			return nil
		case m.Later != "":
			m.Failed, m.Later = m.Later, ""
		case m.Answer["state"] == "Creating":
			m.Answer["state"] = "Running"
		}
		return m
	})
}

func (r *harness) live() int {
	n := 0
	for _, m := range load(r.dir) {
		if m.Failed == "" {
			n++
		}
	}
	return n
}

func code(kind error) string {
	return map[error]string{
		cloud.ErrNotFound: "NotFound", cloud.ErrForeign: "Foreign", cloud.ErrStockout: "Stockout",
		cloud.ErrQuota: "Quota", cloud.ErrInvalid: "Invalid", nil: "Transient",
	}[kind]
}

func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
		r := newHarness(t)
		return cloudtest.Env{
			Provider: r.Provider, Zones: []string{"rack-1", "rack-2"}, Finish: r.settle, Live: r.live,
			Refuse: func(c cloud.Call) { r.does(string(c), behaviour{Before: true, Exit: 1}) },
			Lose:   func(c cloud.Call) { r.does(string(c), behaviour{Exit: 1}) },
			Hang:   func(c cloud.Call) { r.does(string(c), behaviour{Hang: true, Before: true}) },
			Heal: func() {
				for _, verb := range []string{"create", "get", "list", "delete"} {
					os.Remove(filepath.Join(r.dir, verb))
				}
			},
			Reject:    func(kind error) { r.does("create", behaviour{Code: code(kind)}) },
			FailLater: func(kind error) { r.does("create", behaviour{Later: code(kind)}) },
			LoseZone: func(string) {
				for _, verb := range []string{"get", "list", "delete"} {
					r.does(verb, behaviour{Exit: 1, Before: true, Stay: true})
				}
			},
			Stop: func(ref cloud.Ref) {
				r.change(func(k string, m *testMachine) *testMachine {
					if k == ref.Zone+"/"+ref.Name {
						m.Answer["state"] = "Stopped"
					}
					return m
				})
			},
			Vanish: func(ref cloud.Ref) {
				r.change(func(k string, m *testMachine) *testMachine {
					if k == ref.Zone+"/"+ref.Name {
						return nil
					}
					return m
				})
			},
		}
	})
}
