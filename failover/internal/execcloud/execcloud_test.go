//go:build unix

package execcloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/internal/execcloud"
)

func spec() cloud.Spec {
	return cloud.Spec{
		Ref:       cloud.Ref{Name: "gcp-temp-worker-1", Zone: "rack-1"},
		Owner:     cloud.Owner{Cluster: "c", Node: "worker-1", NodeUID: "u", Failover: "f"},
		RequestID: "5f0e7a52-9f0b-4b9a-9a3c-0f6f3f7f2a10",
		StartupScript: "#!/bin/sh\nset -eu\necho \"joining\" <the cluster>\nkubeadm join --token " + cloudtest.Token +
			"\necho " + strings.Repeat("0123456789ABCDEF", 300) + " >/etc/secret\n",
		MaxLifetime: 90*time.Second + 1, MachineType: "large", Image: "node", DiskGB: 40, DiskType: "ssd", Network: "players",
		Subnetwork: "a", Tags: []string{"game-runner"}, Labels: map[string]string{"studio": "kitsune"},
	}
}

func isTransient(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, k := range []error{cloud.ErrNotFound, cloud.ErrForeign, cloud.ErrStockout, cloud.ErrQuota, cloud.ErrInvalid} {
		if errors.Is(err, k) {
			t.Fatalf("%v is %v", err, k)
		}
	}
}

// TestRequests: what the program reads.
func TestRequests(t *testing.T) {
	r := newHarness(t)
	s := spec()
	if err := r.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), s.Ref, s.Owner); err != nil {
		t.Fatal(err)
	}
	owner := map[string]any{"cluster": "c", "node": "worker-1", "nodeUID": "u", "failover": "f"}
	ref := map[string]any{"version": 1., "name": s.Name, "zone": s.Zone, "owner": owner}
	for verb, want := range map[string]any{
		"get":    ref,
		"delete": ref,
		"list":   map[string]any{"version": 1., "cluster": "c", "zones": []any{"rack-1", "rack-2"}},
		"create": map[string]any{
			"version": 1., "name": s.Name, "zone": s.Zone, "owner": owner, "requestID": s.RequestID, "startupScript": s.StartupScript,
			"maxLifetimeSeconds": 91., "machineType": "large", "image": "node", "diskGB": 40., "diskType": "ssd", "network": "players",
			"subnetwork": "a", "tags": []any{"game-runner"}, "labels": map[string]any{"studio": "kitsune"},
		},
	} {
		text, err := os.ReadFile(filepath.Join(r.dir, "request-"+verb))
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s reads\n%v, want\n%v", verb, got, want)
		}
	}
}

// TestBadAnswers: each of them to each verb is an error that may pass.
func TestBadAnswers(t *testing.T) {
	const owner = `{"cluster":"c","node":"worker-1","nodeUID":"u","failover":"f"}`
	machine := func(more string) string {
		return `{"name":"gcp-temp-worker-1","zone":"rack-1","owner":` + owner + `,"state":"Running","providerID":"p"` + more + `}`
	}
	for name, out := range map[string]string{
		"nothing":            " ",
		"not JSON":           "no such machine",
		"cut off":            `{"version":1,"error":{"code":"NotFound"`,
		"null":               `null`,
		"a list":             `[]`,
		"a string":           `"NotFound"`,
		"no version":         `{"error":{"code":"NotFound"}}`,
		"another version":    `{"version":2,"error":{"code":"NotFound"}}`,
		"a version in words": `{"version":"1","error":{"code":"NotFound"}}`,
		"unknown code":       `{"version":1,"error":{"code":"not_found"}}`,
		"code in capitals":   `{"version":1,"error":{"code":"NOTFOUND"}}`,
		"no code":            `{"version":1,"error":{"message":"not found"}}`,
		"unknown field":      `{"version":1,"error":{"code":"NotFound"},"status":404}`,
		"unknown inside":     `{"version":1,"error":{"code":"NotFound","reason":"x"}}`,
		"field in capitals":  `{"version":1,"Error":{"code":"NotFound"}}`,
		"field twice":        `{"version":1,"error":{"code":"Transient"},"error":{"code":"NotFound"}}`,
		"field twice inside": `{"version":1,"error":{"code":"Transient","code":"NotFound"}}`,
		"two answers":        `{"version":1,"error":{"code":"NotFound"}}{"version":1}`,
		"text behind":        `{"version":1,"error":{"code":"NotFound"}} done`,
		"text before":        `ok {"version":1,"error":{"code":"NotFound"}}`,
		"error and result":   `{"version":1,"error":{"code":"NotFound"},"machine":` + machine("") + `,"machines":[]}`,
		"both results":       `{"version":1,"machine":` + machine("") + `,"machines":[]}`,
		"null results":       `{"version":1,"machine":null,"machines":null}`,
		"deep":               `{"version":1,"machines":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		"an object for text": `{"version":1,"error":{"code":{}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t)
			s := spec()
			if name != "null results" { // that is an answer to create and delete
				r.does("create", behaviour{Out: out, Before: true})
				isTransient(t, r.Create(t.Context(), s))
			}
			if err := r.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			r.does("list", behaviour{Out: out})
			_, err := r.List(t.Context(), "c")
			isTransient(t, err)
			r.does("get", behaviour{Out: out})
			_, err = r.Get(t.Context(), s.Ref, s.Owner)
			isTransient(t, err)
			r.does("get", behaviour{Out: out})
			isTransient(t, r.Delete(t.Context(), s.Ref, s.Owner))
			if name != "null results" {
				r.does("delete", behaviour{Out: out, Before: true})
				isTransient(t, r.Delete(t.Context(), s.Ref, s.Owner))
			}
		})
	}
	for name, m := range map[string]string{
		"another name":     strings.Replace(machine(""), "gcp-temp-worker-1", "gcp-temp-worker-10", 1),
		"another zone":     strings.Replace(machine(""), "rack-1", "rack-2", 1),
		"no state":         strings.Replace(machine(""), `"state":"Running",`, "", 1),
		"unknown state":    strings.Replace(machine(""), "Running", "running", 1),
		"no owner":         strings.Replace(machine(""), `"owner":`+owner+`,`, "", 1),
		"half an owner":    strings.Replace(machine(""), `"nodeUID":"u",`, "", 1),
		"no provider ID":   strings.Replace(machine(""), `,"providerID":"p"`, "", 1),
		"a wrong time":     machine(`,"created":"yesterday"`),
		"a number as time": machine(`,"created":1`),
		"a negative cost":  machine(`,"hourlyCost":-1`),
		"an unknown field": machine(`,"region":"eu"`),
	} {
		t.Run("a machine with "+name, func(t *testing.T) {
			r := newHarness(t)
			r.does("get", behaviour{Out: `{"version":1,"machine":` + m + `}`})
			_, err := r.Get(t.Context(), spec().Ref, spec().Owner)
			isTransient(t, err)
			if strings.HasPrefix(name, "another") {
				return
			}
			r.does("list", behaviour{Out: `{"version":1,"machines":[` + m + `]}`})
			_, err = r.List(t.Context(), "c")
			isTransient(t, err)
		})
	}
	t.Run("a machine twice", func(t *testing.T) {
		r := newHarness(t)
		r.does("list", behaviour{Out: `{"version":1,"machines":[` + machine("") + `,` + machine("") + `]}`})
		_, err := r.List(t.Context(), "c")
		isTransient(t, err)
	})
	t.Run("a good one", func(t *testing.T) {
		r := newHarness(t)
		r.does("get", behaviour{Out: `{"version":1,"machine":` + machine(`,"created":"2026-01-02T03:04:05Z","hourlyCost":0.1,"internalIP":"10.0.0.1","externalIP":"203.0.113.1"`) + `}` + "\n"})
		i, err := r.Get(t.Context(), spec().Ref, spec().Owner)
		if err != nil || i.HourlyCost != 0.1 || i.Created.Year() != 2026 || i.InternalIP != "10.0.0.1" || i.ExternalIP != "203.0.113.1" {
			t.Errorf("got %+v, %v", i, err)
		}
	})
}

// TestExitStatus: an answer counts only if the program ends well.
func TestExitStatus(t *testing.T) {
	r := newHarness(t)
	r.does("get", behaviour{Out: `{"version":1,"error":{"code":"NotFound"}}`, Exit: 1})
	_, err := r.Get(t.Context(), spec().Ref, spec().Owner)
	isTransient(t, err)
	if !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v", err)
	}
	r.does("get", behaviour{Out: `{"version":1,"error":{"code":"NotFound"}}`})
	if _, err := r.Get(t.Context(), spec().Ref, spec().Owner); !errors.Is(err, cloud.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestCodesOfOtherCalls: an error that a call does not have is none of the
// contract's.
func TestCodesOfOtherCalls(t *testing.T) {
	for verb, codes := range map[string][]string{
		"create": {"NotFound"},
		"get":    {"Stockout", "Quota", "Invalid"},
		"list":   {"NotFound", "Foreign", "Stockout", "Quota", "Invalid"},
		"delete": {"Stockout", "Quota", "Invalid"},
	} {
		for _, code := range codes {
			r := newHarness(t)
			s := spec()
			if verb != "create" {
				if err := r.Create(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			r.does(verb, behaviour{Code: code})
			var err error
			switch verb {
			case "create":
				err = r.Create(t.Context(), s)
			case "get":
				_, err = r.Get(t.Context(), s.Ref, s.Owner)
			case "list":
				_, err = r.List(t.Context(), "c")
			case "delete":
				err = r.Delete(t.Context(), s.Ref, s.Owner)
			}
			isTransient(t, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	r := newHarness(t, func(c *execcloud.Config) { c.MaxOutput = 1024 })
	r.does("list", behaviour{Out: `{"version":1,"machines":[]` + strings.Repeat(" ", 1<<20) + `}`})
	_, err := r.List(t.Context(), "c")
	isTransient(t, err)
	if !strings.Contains(err.Error(), "more than 1024 bytes") {
		t.Errorf("got %v", err)
	}
	r.does("list", behaviour{Out: `{"version":1,"machines":[]` + strings.Repeat(" ", 1024-27) + `}`})
	if _, err := r.List(t.Context(), "c"); err != nil {
		t.Errorf("just short enough: %v", err)
	}
}

// TestKilled: with the context the program ends, and its child.
func TestKilled(t *testing.T) {
	killed := func(t *testing.T, pids []int, err, want error) {
		t.Helper()
		isTransient(t, err)
		if !errors.Is(err, want) {
			t.Errorf("got %v", err)
		}
		for _, pid := range pids {
			wait(t, "process is gone", func() bool { return !runs(pid) })
		}
	}
	t.Run("by the caller", func(t *testing.T) {
		r := newHarness(t, func(c *execcloud.Config) { c.Timeout = time.Hour })
		r.does("get", behaviour{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := r.Get(ctx, spec().Ref, spec().Owner)
			done <- err
		}()
		wait(t, "the program hangs", func() bool { return len(r.hanging()) == 2 })
		cancel()
		killed(t, r.hanging(), <-done, context.Canceled)
	})
	t.Run("by the time limit", func(t *testing.T) {
		// On a busy machine it may be killed before it hangs: then it gets longer.
		for limit := time.Second; ; limit *= 3 {
			r := newHarness(t, func(c *execcloud.Config) { c.Timeout = limit })
			r.does("get", behaviour{Hang: true})
			_, err := r.Get(t.Context(), spec().Ref, spec().Owner)
			pids := r.hanging()
			killed(t, pids, err, context.DeadlineExceeded)
			if len(pids) == 2 || t.Failed() {
				return
			}
		}
	})
}

// hanging are the numbers of a program that hangs and of its child, none before.
func (r *harness) hanging() []int {
	var pids [2]int
	text, _ := os.ReadFile(filepath.Join(r.dir, "hanging"))
	if n, _ := fmt.Sscan(string(text), &pids[0], &pids[1]); n < 2 {
		return nil
	}
	return pids[:]
}

// runs reports whether a process does anything still: one without a parent to
// reap it may stay as a zombie.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// wait asks until cond is true.
func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// TestNothingTells: neither log nor error has the startup script, however the
// program repeats it.
func TestNothingTells(t *testing.T) {
	s := spec()
	quoted, _ := json.Marshal(s.StartupScript)
	for name, say := range map[string]string{
		"its input":    "STDIN",
		"the script":   s.StartupScript,
		"quoted":       string(quoted),
		"line by line": "+ " + strings.ReplaceAll(s.StartupScript, "\n", "\n+ "),
		"a piece":      "near " + s.StartupScript[60:900] + " of the input",
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t)
			r.does("get", behaviour{Err: say, Code: "NotFound"})
			r.does("create", behaviour{Err: "before\n" + say + "\nbehind\n", Exit: 1})
			err := r.Create(t.Context(), s)
			isTransient(t, err)
			answer, _ := json.Marshal(map[string]any{"version": 1, "error": map[string]any{"code": "Invalid", "message": say}})
			r.does("get", behaviour{Code: "NotFound"})
			r.does("create", behaviour{Out: string(answer)})
			other := r.Create(t.Context(), s)
			if !errors.Is(other, cloud.ErrInvalid) {
				t.Fatal(other)
			}
			text := r.log.String() + err.Error() + other.Error()
			for _, secret := range []string{cloudtest.Token, "kubeadm", "0123456789ABCDEF0123456789ABCDEF0123456789"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is told in:\n%s", secret, text)
				}
			}
			if !strings.Contains(text, "before") || !strings.Contains(text, "behind") {
				t.Errorf("the rest is lost:\n%s", text)
			}
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	r := newHarness(t)
	r.does("list", behaviour{Err: strings.Repeat(strings.Repeat("x", 5000)+"\n", 1000)})
	if _, err := r.List(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if n := r.log.Len(); n > 100<<10 || !strings.Contains(r.log.String(), "more is left out") {
		t.Errorf("%d bytes are logged", n)
	}
}

// TestUnread: a program that does not read its input is not stuck on it.
func TestUnread(t *testing.T) {
	script := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec <&-\n[ $1 = get ] && c=NotFound || c=Quota\necho \"{\\\"version\\\":1,\\\"error\\\":{\\\"code\\\":\\\"$c\\\"}}\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newHarness(t, func(c *execcloud.Config) { c.Program = script })
	s := spec()
	s.StartupScript = strings.Repeat("#\n", 1<<18)
	if err := r.Create(t.Context(), s); !errors.Is(err, cloud.ErrQuota) {
		t.Errorf("got %v", err)
	}
}

func TestNoProgram(t *testing.T) {
	script := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newHarness(t, func(c *execcloud.Config) { c.Program = script })
	_, err := r.Get(t.Context(), spec().Ref, spec().Owner)
	isTransient(t, err) // ENOENT of the interpreter, as it happens
}

func TestEnvironment(t *testing.T) {
	t.Setenv("STUDIO_SECRET", "s")
	t.Setenv("STUDIO_KEY", "k")
	dir := t.TempDir()
	script := filepath.Join(dir, "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nenv >"+dir+"/env\necho '{\"version\":1,\"machines\":[]}'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newHarness(t, func(c *execcloud.Config) { c.Program, c.Environment = script, []string{"STUDIO_KEY"} })
	if _, err := r.List(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	env, _ := os.ReadFile(filepath.Join(dir, "env"))
	if !strings.Contains(string(env), "STUDIO_KEY=k") || strings.Contains(string(env), "STUDIO_SECRET") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("environment:\n%s", env)
	}
}

func TestConfig(t *testing.T) {
	cfg := execcloud.Config{Program: "program", Zones: []string{"a", "a"}, MaxOutput: 10, Environment: []string{"A=b"}}
	err := cfg.Check()
	for _, want := range []string{
		`--exec-program: must be an absolute path, got "program"`, `--exec-zones: must name each zone once, got "a"`,
		"--exec-timeout: must be above 0", "--exec-max-output: must be between", `--exec-environment: must be names of variables, got "A=b"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if err := (&execcloud.Config{Program: t.TempDir()}).Check(); !strings.Contains(err.Error(), "can be executed") || !strings.Contains(err.Error(), "--exec-zones: required") {
		t.Errorf("got %v", err)
	}
}
