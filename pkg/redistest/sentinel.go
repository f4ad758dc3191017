package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
)

// Sentinels are a Redis, its replica, and a Sentinel that makes the replica the master
// when the master has been killed. It has patience with one that a busy machine stops.
type Sentinels struct {
	// Name is the master's, Addresses are the Sentinel's.
	Name      string
	Addresses []string
	Master    *Server
	replica   *Server
}

// StartSentinels starts them, as Start does. They end with the test.
func StartSentinels(t testing.TB) *Sentinels {
	t.Helper()
	s := &Sentinels{Name: "torikumi", Master: Start(t), replica: Start(t)}
	replica := redis.NewClient(&redis.Options{Addr: s.replica.Address})
	defer func() { _ = replica.Close() }() // it has answered
	host, port, _ := strings.Cut(s.Master.Address, ":")
	if err := replica.Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the replica has what the master has", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	at := porttest.Hold(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf") // which it writes to
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %s 60000\nsentinel failover-timeout %s 5000\n",
		at.Port(), s.Name, host, port, s.Name, s.Name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(s.Master.path, file, "--sentinel")
	endWithTest(process)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()         // it was killed
	})
	s.Addresses = []string{at.String()}
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: at.String()})
	defer func() { _ = sentinel.Close() }() // it has answered
	eventually.True(t, "the Sentinel knows the replica", func() bool {
		known, err := sentinel.Replicas(t.Context(), s.Name).Result()
		return err == nil && len(known) == 1 && known[0]["flags"] == "slave" && known[0]["master-link-status"] == "ok"
	})
	return s
}

// KillMaster kills the master, and has the Sentinel believe it after 3 s. The Sentinel may need
// more than 30 s for all: it does nothing for so long if it was stopped itself.
func (s *Sentinels) KillMaster(t testing.TB) {
	t.Helper()
	s.Master.Kill()
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: s.Addresses[0]})
	defer func() { _ = sentinel.Close() }() // it has answered
	if err := sentinel.Set(t.Context(), s.Name, "down-after-milliseconds", "3000").Err(); err != nil {
		t.Fatal(err)
	}
}

// Replicated returns when the replica has all that was written until now.
func (s *Sentinels) Replicated(t testing.TB) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Master.Address})
	defer func() { _ = client.Close() }() // it has answered
	conn := client.Conn()                 // WAIT is about the writes of its connection
	defer func() { _ = conn.Close() }()
	eventually.NoError(t, "the replica has all that was written", func() error {
		if err := conn.Set(t.Context(), "written", "1", 0).Err(); err != nil {
			return err
		}
		n, err := conn.Wait(t.Context(), 1, time.Second).Result()
		if err == nil && n != 1 {
			err = fmt.Errorf("%d replicas have it", n)
		}
		return err
	})
}

// Lag keeps the replica from hearing what the master writes from now on, as a network that
// breaks before the master does.
func (s *Sentinels) Lag(t testing.TB) {
	t.Helper()
	replica := redis.NewClient(&redis.Options{Addr: s.replica.Address})
	defer func() { _ = replica.Close() }() // it has answered
	// The master has no password, and refuses who brings one.
	if err := replica.ConfigSet(t.Context(), "masterauth", "none").Err(); err != nil {
		t.Fatal(err)
	}
	if err := replica.Do(t.Context(), "CLIENT", "KILL", "TYPE", "master").Err(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the replica hears nothing", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:down")
	})
}
