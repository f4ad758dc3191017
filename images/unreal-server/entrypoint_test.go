// Package unrealserver_test runs the image's entrypoint with an export of a game
// that is not there: a script like Unreal's and a program that says what it got.
package unrealserver_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	got := h.serve(nil)
	if want := []string{"Arena", "-userdir=" + h.data, "-Port=7777", "-log"}; !slices.Equal(got.Args, want) || got.Home != h.data || got.Dir != h.game {
		t.Errorf("%+v, want %q", got, want)
	}
	if ini, err := os.ReadFile(h.ini()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without name and players there is %q", ini)
	}
	got = h.serve([]string{"PORT=7001"})
	if !slices.Contains(got.Args, "-Port=7001") {
		t.Errorf("with PORT: %q", got.Args)
	}
	got = h.serve([]string{
		"PORT=7001", "UNREAL_PORT=7778", "UNREAL_QUERY_PORT=27015", "UNREAL_MAX_PLAYERS=16", "UNREAL_NAME=Höhle / Nr. 5",
		"UNREAL_MAP=/Game/Maps/Cave?game=/Script/Arena.Duel", "UNREAL_SCRIPT=ArenaServer.sh",
	}, "-extra", "a b; $(c) 'd'")
	want := []string{"Arena", "/Game/Maps/Cave?game=/Script/Arena.Duel", "-userdir=" + h.data, "-Port=7778", "-QueryPort=27015", "-log", "-extra", "a b; $(c) 'd'"}
	if !slices.Equal(got.Args, want) {
		t.Errorf("%q, want %q", got.Args, want)
	}
	h.iniIs("[/Script/Engine.GameSession]\nServerName=\"Höhle / Nr. 5\"\nMaxPlayers=16\n")
}

func (h *harness) ini() string {
	return filepath.Join(h.data, "Saved", "Config", "LinuxServer", "Game.ini")
}

func (h *harness) iniIs(want string) {
	h.Helper()
	if got, err := os.ReadFile(h.ini()); err != nil || string(got) != want {
		h.Errorf("%v: Game.ini is\n%s\nwant\n%s", err, got, want)
	}
}

// TestIniKept has a file that the engine or somebody has written before.
func TestIniKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, before, after string }{
		{"other", "[A]\nServerName=a\n", "[A]\nServerName=a\n[/Script/Engine.GameSession]\nServerName=\"n\"\nMaxPlayers=8\n"},
		{"same", "[/Script/Engine.GameSession]\nMaxPlayers=2\nServerName=\"x\"\n", "[/Script/Engine.GameSession]\nMaxPlayers=8\nServerName=\"n\"\n"},
		{
			"between", "; by hand\n[/Script/Engine.GameSession]\nMaxSpectators=3\n[B]\nMaxPlayers=2\n",
			"; by hand\n[/Script/Engine.GameSession]\nMaxSpectators=3\nServerName=\"n\"\nMaxPlayers=8\n[B]\nMaxPlayers=2\n",
		},
		{"twice", "[/Script/Engine.GameSession]\nMaxPlayers=2\nMaxPlayers=3\n", "[/Script/Engine.GameSession]\nMaxPlayers=8\nServerName=\"n\"\n"},
		{"backslashes", "[A]\nPath=C:\\new\\%s &\n", "[A]\nPath=C:\\new\\%s &\n[/Script/Engine.GameSession]\nServerName=\"n\"\nMaxPlayers=8\n"},
		{"CRLF", "[/Script/Engine.GameSession]\r\nMaxPlayers=2\r\n[B]\r\n", "[/Script/Engine.GameSession]\r\nMaxPlayers=8\nServerName=\"n\"\n[B]\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			if err := errors.Join(os.MkdirAll(filepath.Dir(h.ini()), 0o777), os.WriteFile(h.ini(), []byte(tt.before), 0o666)); err != nil {
				t.Fatal(err)
			}
			// What the folders would be, had the server's user made them.
			if out, err := exec.CommandContext(t.Context(), "chmod", "-R", "a+rwX", h.data).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for range 2 { // a restart changes nothing
				h.serve([]string{"UNREAL_NAME=n", "UNREAL_MAX_PLAYERS=8"})
				h.iniIs(tt.after)
			}
		})
	}
}

// TestHostileNames: whatever a name may have is in the file as Unreal reads it,
// and nothing of it is run.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, name := range []string{
		`a/b`, `a\b\n`, `"`, `\`, `\"`, `'; touch PWNED; '`, `$(touch PWNED)`, "`touch PWNED`", `${HOME}`, `a & b | c > PWNED`, `*`, `?`,
		`%s%n`, `-n`, `-e \t`, `[Section]`, `Name=1,Other=2`, `  spaces  `, `ünïcödé 取組 🎮`, `=`, `a;b`, `#`, `!!`, `~root`, strings.Repeat("x", 255),
	} {
		h.serve([]string{"UNREAL_NAME=" + name})
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)
		h.iniIs("[/Script/Engine.GameSession]\nServerName=\"" + escaped + "\"\n")
	}
	h.serve([]string{"UNREAL_NAME=elsewhere", "UNREAL_NAME_FILE=Arena-Server.ini", "UNREAL_NAME_SECTION=/Script/Arena.ArenaGameMode"})
	if got, err := os.ReadFile(filepath.Join(filepath.Dir(h.ini()), "Arena-Server.ini")); err != nil || string(got) != "[/Script/Arena.ArenaGameMode]\nServerName=\"elsewhere\"\n" {
		t.Errorf("%v: Arena-Server.ini is %q", err, got)
	}
	for _, dir := range []string{h.game, h.data, "/"} {
		if _, err := os.Stat(filepath.Join(dir, "PWNED")); err == nil {
			t.Errorf("something was run in %s", dir)
		}
	}
}

// TestWrong: every wrong setting is named with its rule, and the server is not
// started.
func TestWrong(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	hostile := []string{"a\nb", "a b", `"`, `'`, `$(touch PWNED)`, "`x`", `;`, `a"b`, `\`, "\t", "\x7f", "*", "-x\n"}
	numbers := append([]string{"0", "-1", "65536", "99999999999999999999", "07", "1.5", "x", " 1", "0x10"}, hostile...)
	for variable, bad := range map[string][]string{
		"UNREAL_PORT": append(numbers, ""), "UNREAL_QUERY_PORT": append(numbers, "7777"), "UNREAL_MAX_PLAYERS": numbers,
		"UNREAL_MAP": append(hostile, "-ExecCmds=quit"), "UNREAL_NAME": {"a\nb", "\n", "a\n", "\t", "\x7f", "\x1b[31m", strings.Repeat("x", 256)},
		"UNREAL_NAME_FILE":    append(hostile, "", "Game", ".ini", "../Game.ini", "a/b.ini", "a\nb.ini", "Game.ini.bak"),
		"UNREAL_NAME_SECTION": append(hostile, "", "a]b"), "UNREAL_DATA": append(hostile, "", "relative", "/proc/nothing", "/da ta"),
		"UNREAL_SCRIPT": append(hostile, "none.sh", "../ArenaServer.sh", "..", ".", "/bin/sh", "Arena"),
		"UNREAL_DIR":    append(hostile, "", "/nowhere", h.entrypoint),
	} {
		for _, value := range bad {
			code, out := h.run([]string{variable + "=" + value})
			if code != 2 || !strings.Contains(out, "unreal-server: "+variable+": ") || strings.Contains(out, "ready") {
				t.Errorf("%s=%q: exit %d: %s", variable, value, code, out)
			}
			for line := range strings.Lines(out) {
				if !strings.HasPrefix(line, "unreal-server: ") {
					t.Errorf("%s=%q makes the line %q", variable, value, line)
				}
			}
		}
	}
	code, out := h.run([]string{"UNREAL_PORT=x", "UNREAL_MAX_PLAYERS=y", "UNREAL_NAME=\n", "UNREAL_DIR=/nowhere"})
	if code != 2 || strings.Count(out, "\n") != 4 {
		t.Errorf("exit %d, want all four at once:\n%s", code, out)
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can run it as root")
	}
	h := newHarness(t)
	cmd := h.command(t.Context(), nil)
	cmd.SysProcAttr.Credential = nil
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "must not run as root") {
		t.Errorf("%v: %s", cmd.ProcessState, out)
	}
}

// TestExport breaks the export in each way that it may be broken.
func TestExport(t *testing.T) {
	t.Parallel()
	const program = "Arena/Binaries/Linux/ArenaServer"
	for _, tt := range []struct {
		name  string
		spoil func(game string) error
		want  string
	}{
		{"no script", func(game string) error { return os.Remove(game + "/ArenaServer.sh") }, "has no *.sh"},
		{"two scripts", func(game string) error { return os.WriteFile(game+"/Other.sh", nil, 0o755) }, "UNREAL_SCRIPT: must name the server's script, as"},
		{"script not executable", func(game string) error { return os.Chmod(game+"/ArenaServer.sh", 0o644) }, "ArenaServer.sh is not executable: chmod +x, or mount it"},
		{"script is a folder", func(game string) error {
			return errors.Join(os.Remove(game+"/ArenaServer.sh"), os.Mkdir(game+"/ArenaServer.sh", 0o755))
		}, "has no *.sh"},
		{"no program", func(game string) error { return os.Remove(game + "/" + program) }, "has no PROJECT/Binaries/Linux"},
		{"program not executable", func(game string) error { return os.Chmod(game+"/"+program, 0o644) }, "nothing in "},
		{"Windows", func(game string) error { return os.Rename(game+"/Arena/Binaries/Linux", game+"/Arena/Binaries/Win64") }, "has no PROJECT/Binaries/Linux"},
		{"empty", func(game string) error { return errors.Join(os.RemoveAll(game), os.Mkdir(game, 0o755)) }, "has no *.sh"},
		{"unreadable", func(game string) error { return os.Chmod(game, 0o700) }, "UNREAL_DIR: must be a folder that can be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "unreadable" && os.Getuid() != 0 {
				t.Skip("only root can make a folder that the server's user cannot read")
			}
			h := newHarness(t)
			if err := tt.spoil(h.game); err != nil {
				t.Fatal(err)
			}
			if code, out := h.run(nil); code != 2 || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d, want %q in:\n%s", code, tt.want, out)
			}
		})
	}
}

// TestReadOnly: everything goes to the data folder.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if out, err := exec.CommandContext(t.Context(), "chmod", "-R", "a-w", h.game).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.serve([]string{"UNREAL_NAME=n"})
	if saved, err := os.ReadFile(filepath.Join(h.data, "Saved", "game.sav")); err != nil || string(saved) != "saved" {
		t.Errorf("%v: %q", err, saved)
	}
	if err := os.Chmod(h.data+"/Saved/Config/LinuxServer", 0o555); err != nil {
		t.Fatal(err)
	}
	if code, out := h.run([]string{"UNREAL_NAME=n"}); code != 2 || !strings.Contains(out, "UNREAL_DATA: must be a folder that can be written") {
		t.Errorf("with a read-only data folder: exit %d: %s", code, out)
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, code := range []int{0, 1, 3, 127, 255} {
		if got, out := h.run([]string{"ARENA_CODE=" + strconv.Itoa(code)}); got != code {
			t.Errorf("exit %d, want %d: %s", got, code, out)
		}
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, tt := range []struct {
		name     string
		send     syscall.Signal
		waitsFor string
		got      string
	}{
		{"TERM", syscall.SIGTERM, "TERM", "got terminated"},
		{"INT is TERM", syscall.SIGINT, "TERM", "got terminated"},
		{"HUP", syscall.SIGHUP, "HUP", "got hangup"},
		{"USR1", syscall.SIGUSR1, "USR1", "got user defined signal 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := h.start("ARENA_WAITS_FOR="+tt.waitsFor, "ARENA_CODE=7")
			r.signal(tt.send)
			r.expect(tt.got)
			if code := r.wait(); code != 7 {
				t.Errorf("exit %d, want the server's 7", code)
			}
		})
	}
	t.Run("several", func(t *testing.T) {
		r := h.start("ARENA_WAITS_FOR=TERM", "ARENA_CODE=9")
		for range 10 { // each comes as the one before is still being passed on
			r.signal(syscall.SIGUSR1)
			r.expect("got user defined signal 1")
		}
		r.signal(syscall.SIGTERM)
		r.expect("got terminated")
		if code := r.wait(); code != 9 {
			t.Errorf("exit %d, want the server's 9", code)
		}
	})
	t.Run("at once", func(t *testing.T) {
		for range 5 {
			r := h.start("ARENA_WAITS_FOR=TERM", "ARENA_CODE=9")
			for range 20 {
				r.signal(syscall.SIGUSR1)
				r.signal(syscall.SIGUSR2)
			}
			r.signal(syscall.SIGTERM)
			r.expect("got terminated")
			if code := r.wait(); code != 9 {
				t.Errorf("exit %d, want the server's 9", code)
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		r := h.start("ARENA_WAITS_FOR=TERM")
		if err := syscall.Kill(r.report.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code := r.wait(); code != 128+9 {
			t.Errorf("exit %d, want 137", code)
		}
	})
	t.Run("exec", func(t *testing.T) {
		exec := strings.Replace(script, `"$here/Arena/Binaries/Linux/ArenaServer" Arena "$@"`, `exec "$here/Arena/Binaries/Linux/ArenaServer" Arena "$@"`, 1)
		if err := os.WriteFile(filepath.Join(h.game, "ArenaServer.sh"), []byte(exec), 0o755); err != nil {
			t.Fatal(err)
		}
		r := h.start("ARENA_WAITS_FOR=TERM", "ARENA_CODE=5")
		r.signal(syscall.SIGTERM)
		r.expect("got terminated")
		if code := r.wait(); code != 5 {
			t.Errorf("exit %d, want the server's 5", code)
		}
	})
}
