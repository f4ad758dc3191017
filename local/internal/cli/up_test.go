package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/pkg/queues"
)

// The program of a game server is looked for before anything is started.
func TestUpWithMissingGameServer(t *testing.T) {
	text := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"./MyServer -log", "no-such-program-anywhere", text} {
		if code, _, errs := call(t.Context(), "up", "--game-server="+line); code != exitUsage || !strings.Contains(errs, "--game-server: must start with a program that can be run (exec: ") {
			t.Errorf("%s: exit %d: %s", line, code, errs)
		}
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "go version", own + " -x", "env LEVEL=1 ./MyServer", `"./My Server" -log`, "$SERVER", "~/MyServer", "FOO=1 ./srv", "cd x && ./srv"} {
		if err := runnable(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Any page of a browser could be any player: the pages have to be named.
func TestUpWithPages(t *testing.T) {
	for _, origins := range []string{"*", "http://127.0.0.1:8090,*", "127.0.0.1:8090", "http://127.0.0.1:8090/"} {
		if code, _, errs := call(t.Context(), "up", "--cors-origins="+origins); code != exitUsage || !strings.Contains(errs, "--cors-origins: must be origins such as http://127.0.0.1:8090") {
			t.Errorf("%s: exit %d: %s", origins, code, errs)
		}
	}
}

// The commands to play with make one match of the queue, or none is shown.
func TestPlay(t *testing.T) {
	set, err := queues.Parse([]byte(`queues:
- {name: duel, regions: [asia], teams: [{name: a, players: 1}, {name: b, players: 1}], skill: {attribute: s}}
- {name: squad, teams: [{name: a, players: 2}, {name: b, players: 3, min_players: 2}], skill: {attribute: s}}
- {name: alone, teams: [{name: a, players: 5, min_players: 1}], skill: {attribute: s}}
- {name: many, teams: [{name: a, players: 9}], skill: {attribute: s}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		heading string
		players int
	}{{"Play as 2 players", 2}, {"Play as 4 players", 4}, {"Play as a player", 1}, {"", 0}} {
		var out bytes.Buffer
		play(&out, set.Queues[i], "http://here")
		if got := strings.Count(out.String(), "http://here/play/"); got != want.players || !strings.Contains(out.String(), want.heading) || (want.players == 0) != (out.Len() == 0) {
			t.Errorf("%s: %d players\n%s", set.Queues[i].Name, got, &out)
		}
	}
}
