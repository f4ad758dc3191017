package director_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// queuesFile is a queues.yaml that changes.
type queuesFile struct {
	*testing.T
	path string
}

func newQueuesFile(t *testing.T, text string) queuesFile {
	f := queuesFile{t, filepath.Join(t.TempDir(), "queues.yaml")}
	f.write(text)
	return f
}

func (f queuesFile) write(text string) {
	f.Helper()
	if err := os.WriteFile(f.path, []byte("queues:\n"+text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// queue is one for two players, with a window that tells its versions apart.
func queue(name string, window int) string {
	return fmt.Sprintf("- {name: %s, teams: [{name: a, players: 2}], skill: {attribute: skill, window: %d}}\n", name, window)
}

// fetched is how often matches of a queue were fetched.
func (h *harness) fetched(queue string) (n int) {
	h.do(func() { n = h.fetches[queue] })
	return n
}

// window is that of the profile that a queue was last fetched with.
func (h *harness) window(t *testing.T, queue string) (window float64) {
	h.do(func() {
		d := new(torikumiv1.ProfileDetails)
		if p := h.profiles[queue]; p != nil {
			if err := contract.Get(p.GetExtensions(), contract.ProfileExtension, d); err != nil {
				t.Fatal(err)
			}
		}
		window = d.GetSkill().GetWindow()
	})
	return window
}

func TestQueuesAreReloaded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	file := newQueuesFile(t, queue("session", 1)+queue("trio", 1))
	i := start(t, h, func(c *director.Config) { c.Queues = file.path })
	eventually.True(t, "both are fetched", func() bool { return h.window(t, "session") == 1 && h.window(t, "trio") == 1 })

	file.write(queue("session", 2) + queue("trio", 1) + queue("squad", 5))
	eventually.True(t, "the change and the new queue are fetched", func() bool { return h.window(t, "session") == 2 && h.window(t, "squad") == 5 })

	file.write(queue("session", -3) + queue("squad", 6))
	eventually.True(t, "the mistake is found", func() bool { return metric(t, i, "torikumi_queues_last_reload_successful") == 0 })
	if got := get(t, i, "/readyz"); got.code != 200 {
		t.Errorf("readiness: %+v", got)
	}
	before := h.fetched("session")
	eventually.True(t, "all goes on", func() bool { return h.fetched("session") > before+10 })
	if h.window(t, "session") != 2 || h.window(t, "squad") != 5 {
		t.Error("a file with a mistake is in force")
	}
	h.addServers(1)
	ids := h.addTickets(2)
	eventually.True(t, "players are matched all the same", func() bool { return h.assigned(ids...) == 2 })

	file.write(queue("session", 4))
	eventually.True(t, "it is right again", func() bool { return h.window(t, "session") == 4 })
}

// The tickets that wait in a queue that was removed are still matched, and nothing
// is fetched for it for ever; it can come back.
func TestRemovedQueue(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.addServers(3)
	file := newQueuesFile(t, queue("session", 1)+queue("trio", 1))
	const drain = 10 * time.Second // longer than a busy machine takes to match
	i := start(t, h, func(c *director.Config) { c.Queues, c.RemovedQueueTimeout = file.path, drain })
	eventually.True(t, "it is fetched", func() bool { return h.window(t, "session") == 1 })
	digest := reloads(t, i)
	file.write(queue("trio", 1))
	eventually.True(t, "the queue is removed", func() bool { return reloads(t, i) != digest })
	ids := h.addTickets(2)
	eventually.True(t, "who waits is matched", func() bool { return h.assigned(ids...) == 2 })

	still := 0
	eventually.True(t, "it is fetched no more", func() bool {
		last := still
		still = h.fetched("session")
		trio := h.fetched("trio")
		eventually.True(t, "others are fetched", func() bool { return h.fetched("trio") > trio+20 })
		return still == last
	})
	file.write(queue("session", 2) + queue("trio", 1))
	ids = h.addTickets(2)
	eventually.True(t, "it is back", func() bool { return h.assigned(ids...) == 2 && h.window(t, "session") == 2 })

	digest = reloads(t, i)
	file.write(queue("trio", 1))
	eventually.True(t, "it is removed again", func() bool { return reloads(t, i) != digest })
	file.write(queue("session", 3) + queue("trio", 1))
	eventually.True(t, "it is back before its time was over", func() bool { return h.window(t, "session") == 3 })
	before := h.fetched("session")
	end := time.Now().Add(drain)
	eventually.True(t, "it stays", func() bool { return time.Now().After(end) && h.fetched("session") > before+20 })
	before = h.fetched("session")
	eventually.True(t, "it is still fetched", func() bool { return h.fetched("session") > before })
	h.check(t)
}

// reloads tells versions of the queues apart.
func reloads(t *testing.T, i *instance) float64 {
	return metric(t, i, "torikumi_queues_last_reload_success_timestamp_seconds")
}
