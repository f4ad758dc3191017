//go:build chaos && linux

package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/frontend/signing"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/redistest"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	directors = 3
	frontends = 2
	// pending is Open Match's pendingReleaseTimeout.
	pending = 5 * time.Second
	// stranded is how long a ticket may wait after the last fault.
	stranded = pending + 5*time.Second
	// arriving is the time in which the players of a round come.
	arriving = 7 * time.Second
	// orphaned is after how long a ticket is looked after whose frontend died while it
	// was made.
	orphaned = 30 * time.Second
	// reach is how long more players come so that directors get to their points.
	reach = 20 * time.Second
	// retries is how many more rounds there are for points that no director came to.
	retries = 4
	// noShow ends a game server that nobody comes to: longer than players need who are told
	// by another frontend than the one that has died.
	noShow = 25 * time.Second
	// emptied is how long a game server stays that everybody has left.
	emptied = time.Second
	// refillEvery is how many players come for each match that is filled up.
	refillEvery = 30
)

// chaosQueues has some players wait for a moment, so that whoever comes back is matched
// with others than before.
const chaosQueues = `
queues:
  - name: session
    teams:
      - {name: east, players: 1}
      - {name: west, players: 1}
    skill: {attribute: skill, window: 20, widen_per_second: 60, any_skill_after: 2s}
` + refillQueue + "\n"

// TestChaos plays matches while directors are killed at each call that they make and
// stopped for longer than they hold their tickets, answers are lost, the allocator fails,
// Redis restarts, or comes back empty, and players cancel. What must never be is
// counted by the players and from the list of game servers. docs/chaos.md says how to
// read it.
func TestChaos(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not installed, which this test cannot do without: apt-get install redis-server")
	}
	seed, matches := number(t, "SEED", uint64(time.Now().UnixNano()%1_000_000)), int(number(t, "MATCHES", 1000))
	t.Logf("SEED=%d MATCHES=%d", seed, matches)
	buildMore(t, "torikumi/test/internal/fleet", "torikumi/test/internal/pod")
	dice := rand.New(rand.NewPCG(seed, 0))
	points, backfills, pauses, more := crashPoints(), backfillPoints(), pausePoints(), backfillPauses()
	for _, all := range [][]*fault{points, backfills, pauses, more} {
		dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	first, second := max(1, 5*min(matches, 1000)/1000), max(1, 3*min(matches, 1000)/1000)
	// Of each kind, those of the first run: fewer matches have fewer points.
	part := func(all []*fault) (of, rest []*fault) {
		perRound := (len(all) + 7) / 8
		all = all[:min(len(all), perRound*(first+second))]
		cut := min(len(all), perRound*first)
		return all[:cut], all[cut:]
	}
	points, morePoints := part(points)
	backfills, moreBackfills := part(backfills)
	of := matches * first / (first + second)
	t.Run("Redis restarts", func(t *testing.T) {
		newChaos(t, seed, false).run(plan(dice, points, backfills, []*fault{pauses[0], more[0], pauses[1], more[1], pauses[2]}, first, false), of)
	})
	t.Run("Redis comes back empty", func(t *testing.T) {
		newChaos(t, seed, true).run(plan(dice, morePoints, moreBackfills, []*fault{pauses[3], more[0], more[1]}, second, true), matches-of)
	})
}

// number reads a variable of the environment.
func number(t *testing.T, name string, none uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return none
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("%s: must be a number, got %q", name, text)
	}
	return n
}

// buildMore builds what only this test runs.
func buildMore(t *testing.T, packages ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-ldflags=-s -w", "-o", builtIn + string(filepath.Separator)}, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// chaos is a suite of processes, its players and its faults.
type chaos struct {
	*history
	t    *testing.T
	seed uint64
	ctx  context.Context
	end  context.CancelFunc
	// mayLose says that Redis comes back empty.
	mayLose bool

	http      *http.Client
	minter    *signing.PlayerMinter
	fleet     torikumiv1.GameServerServiceClient
	redis     *redistest.Server
	frontends []*chaosFrontend
	directors []*chaosDirector
	scripts   []script
	processes []*process
	refilling refilling

	// ongoing counts the faults that are not over.
	ongoing atomic.Int64
	// ready counts the game servers that are.
	ready atomic.Int64
	// work is what faults have begun, players are those who play.
	work, players sync.WaitGroup
	next          int // players so far
	// isSettling says that all rounds are over.
	isSettling bool

	luck   sync.Mutex
	dice   *rand.Rand // of what happens by chance
	faulty bool       // calls fail by chance
}

// newChaos starts everything.
func newChaos(t *testing.T, seed uint64, mayLose bool) *chaos {
	t.Helper()
	c := &chaos{
		history: newHistory(), t: t, seed: seed, mayLose: mayLose, scripts: loadScripts(t), redis: redistest.Start(t),
		dice: rand.New(rand.NewPCG(seed, 1)),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	c.ctx, c.end = context.WithCancel(t.Context())
	t.Cleanup(c.stop)
	keys, jwks := c.startIssuer()
	queues := writeQueues(t)
	evaluator := c.start("evaluator")
	openMatch := c.start("minimatch", "--evaluator="+evaluator.GRPC, "--registration-interval=50ms", "--pending-release-timeout="+pending.String())
	functions := c.start("matchfunction", "--query="+openMatch.GRPC)
	hold := func(n int) (all []string) {
		for range n {
			all = append(all, porttest.Hold(t).String())
		}
		return all
	}
	listen, gates, web := hold(directors), hold(directors), hold(frontends)
	for n := range frontends {
		f := &chaosFrontend{mortal: mortal{c: c, service: "frontend", n: n}, url: "http://" + web[n], made: make(map[string]time.Time)}
		f.args = []string{
			"--grpc-listen=127.0.0.1:0", "--http-listen=" + web[n], "--open-match=" + newCallProxy(c, openMatch.GRPC, f.see).addr,
			"--directors=" + strings.Join(listen, ","), "--redis=redis://" + c.redis.Address,
			"--issuer=" + suite.Issuer, "--keys-dir=" + keys, "--player-issuer=" + issuer.URL, "--player-audience=" + issuer.Audience, "--player-jwks-url=" + jwks,
			"--queues=" + queues, "--reconcile-interval=1s", "--reconcile-rate=1000", "--create-burst=1000",
		}
		f.start()
		c.frontends = append(c.frontends, f)
	}
	// Gates have one address of all frontends, and of all directors.
	fleet := c.start("fleet", "--ready=24", "--max=400", "--game-server="+strings.Join([]string{
		program("pod"), "--issuer=" + suite.Issuer, "--jwks-url=http://" + newBalancer(t, web...).addr + token.JWKSPath,
		"--director=" + newBalancer(t, gates...).addr, "--director-insecure",
		"--no-show-timeout=" + noShow.String(), "--empty-timeout=" + emptied.String(), "--log-level=error",
	}, " "))
	conn, err := rpc.Dial(fleet.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c.fleet = torikumiv1.NewGameServerServiceClient(conn)
	for n := range directors {
		d := &chaosDirector{
			mortal: mortal{c: c, service: "director", n: n}, held: make(map[string]chan struct{}), confirmed: make(map[string]bool),
		}
		om, servers, store := d.proxy(openMatch.GRPC), d.proxy(fleet.GRPC), newRedisProxy(d, c.redis.Address)
		d.args = []string{
			"--grpc-listen=" + listen[n], "--http-listen=127.0.0.1:0", "--gate-listen=" + gates[n], "--gate-insecure",
			"--open-match=" + om.addr, "--open-match-frontend=" + om.addr,
			"--queues=" + queues, "--matchfunction=" + functions.GRPC, "--allocator=" + servers.addr, "--allocator-insecure", "--gameservers=" + servers.addr,
			"--redis=redis://" + store.addr, "--pending-release-timeout=" + pending.String(), "--match-timeout=" + (pending * 3 / 4).String(),
		}
		d.start()
		c.directors = append(c.directors, d)
	}
	return c
}

// writeQueues returns the file of the queues.
func writeQueues(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "queues.yaml")
	err := errors.Join(os.WriteFile(file, []byte(chaosQueues), 0o600), os.WriteFile(filepath.Join(dir, "refill.json"), []byte(refillRules), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// startIssuer returns the directory of the join tokens' keys, and where those of the
// player tokens are.
func (c *chaos) startIssuer() (keys, jwks string) {
	c.t.Helper()
	join, player := c.t.TempDir(), c.t.TempDir()
	for _, dir := range []string{join, player} {
		if _, err := signing.GenerateKey(dir, token.RS256, time.Now()); err != nil {
			c.t.Fatal(err)
		}
	}
	loaded, err := signing.LoadKeys(player, signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		c.t.Fatal(err)
	}
	c.minter, err = signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: loaded, Issuer: issuer.URL, Audience: issuer.Audience})
	if err != nil {
		c.t.Fatal(err)
	}
	listening, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() {
		ended <- issuer.Run(c.ctx, issuer.Options{
			KeysDir: player, HTTPListen: "127.0.0.1:0", Started: func(a service.Addrs) { listening <- a },
			Service: service.Config{LogFormat: "text", ShutdownTimeout: time.Second},
		})
	}()
	select {
	case a := <-listening:
		c.t.Cleanup(func() { c.end(); <-ended })
		return join, "http://" + a.HTTP + token.JWKSPath
	case err := <-ended:
		c.t.Fatal(err)
	}
	return "", ""
}

// start starts a service that is not killed.
func (c *chaos) start(name string, args ...string) service.Addrs {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	p, err := run(ctx, name, append([]string{"--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, args...))
	if err != nil {
		c.t.Fatalf("start %s: %v", name, err)
	}
	c.processes = append(c.processes, p)
	return p.Addrs()
}

// stop ends everything, and says what was wrong.
func (c *chaos) stop() {
	c.end()
	c.players.Wait()
	for _, d := range c.directors {
		d.kill()
	}
	for _, f := range c.frontends {
		f.stop()
	}
	c.work.Wait()
	for _, p := range slices.Backward(c.processes) {
		p.Stop()
		if p.Err() != nil {
			c.t.Error(p.Err())
		}
	}
	c.http.CloseIdleConnections()
	if len(c.violations) == 0 {
		return
	}
	for _, v := range c.violations[:min(20, len(c.violations))] {
		c.t.Error(v)
	}
	all := c.processes
	for _, d := range c.directors {
		all = append(all, d.all...)
	}
	for _, f := range c.frontends {
		all = append(all, f.all...)
	}
	dir, err := os.MkdirTemp("", "torikumi-chaos-")
	if err != nil {
		c.t.Error(err)
	}
	for _, p := range all {
		name := filepath.Join(dir, fmt.Sprintf("%s-%d.log", p.name, p.cmd.Process.Pid))
		if err := os.WriteFile(name, []byte(p.out.String()), 0o600); err != nil {
			c.t.Error(err)
		}
	}
	c.t.Logf("the logs are in %s", dir)
	c.t.Errorf("%d violations; again: make chaos SEED=%d", len(c.violations), c.seed)
}

// wait waits, and reports whether the run goes on.
func (c *chaos) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.ctx.Done():
		return false
	}
}

// some is a duration by chance, in ms.
func (c *chaos) some(from, to int) time.Duration {
	c.luck.Lock()
	defer c.luck.Unlock()
	return time.Duration(from+c.dice.IntN(to-from)) * time.Millisecond
}

// chance is what happens at a point by chance, mostly nothing.
func (c *chaos) chance(point string) kind {
	c.luck.Lock()
	defer c.luck.Unlock()
	if !c.faulty {
		return ""
	}
	roll := c.dice.IntN(1000)
	for _, o := range odds[point] {
		if roll -= o.of; roll < 0 {
			return o.kind
		}
	}
	return ""
}

func (c *chaos) setFaulty(faulty bool) {
	c.luck.Lock()
	defer c.luck.Unlock()
	c.faulty = faulty
}

// anyFrontend is the number of one, by chance.
func (c *chaos) anyFrontend() int {
	c.luck.Lock()
	defer c.luck.Unlock()
	return c.dice.IntN(frontends)
}

// come lets one player come, and returns who it is.
func (c *chaos) come(kind kindOfPlayer, mayCancel bool) string {
	c.next++
	p := c.newPlayer(c.next, kind)
	c.seeKind(p.id, kind)
	if !mayCancel {
		p.cancels = 0
	}
	c.asks(p.id)
	c.players.Go(p.play)
	return p.id
}

// run plays the rounds, and then waits until no game server is left over.
func (c *chaos) run(rounds []round, matches int) {
	c.work.Go(c.watchFleet)
	var left []*fault
	for i := 0; i < len(rounds) || len(left) > 0 && i < len(rounds)+retries; i++ {
		r := rounds[min(i, len(rounds)-1)]
		if r.number = i + 1; i >= len(rounds) {
			r.points = make([][]*fault, directors)
		}
		for _, f := range slices.Concat(r.points...) {
			f.taken.Store(false) // pauses come again
		}
		for n, f := range left {
			if i >= len(rounds) {
				for at := range r.points {
					r.points[at] = append(r.points[at], f) // whoever comes there
				}
				continue
			}
			at := (i + n) % directors
			r.points[at] = append(r.points[at], f)
		}
		c.t.Log(r)
		left = c.round(r, max(matches*(i+1)/len(rounds)-c.matches(), 20))
		if c.isBroken() {
			return
		}
	}
	c.settle()
	if len(left) > 0 {
		c.violated("coverage", "no director came to %v", left)
	}
	joins := c.joins()
	c.t.Logf("%d matches of %d players, of whom %d joined while they ran; %d servers, %d calls; all is over after %v", c.matches(), c.next, joins, len(c.servers), len(c.operations), time.Since(c.begin))
	eventually.Within(c.t, 2*limit, "no game server is allocated any more", func() error {
		n, err := c.look(c.ctx)
		if err == nil && n > 0 && !c.isBroken() {
			err = fmt.Errorf("%d are", n)
		}
		return err
	})
	if n := c.matches(); n < matches {
		c.violated("coverage", "%d matches were played, not %d", n, matches)
	}
	if least := matches / 20; joins < least {
		c.violated("coverage", "%d players have joined running matches, not %d", joins, least)
	}
}

// settle waits until all matches have been filled up.
func (c *chaos) settle() {
	c.isSettling = true
	c.refilling.close()
	var waited time.Duration
	backlog := c.whoWaits()
	for with := (company{c: c}); !c.isBroken(); c.wait(tick) {
		for range c.refilling.due() {
			c.come(joiner, false)
		}
		old := c.whoWaits()
		for player, ticket := range backlog {
			if old[player] != ticket {
				delete(backlog, player)
				waited = 0 // it goes on, on a machine that is slow with all
			}
		}
		if open, _ := c.refilling.waiting(); open == 0 && len(old) == 0 {
			break
		}
		with.look()
		if c.ready.Load() > 0 {
			waited += tick
		}
		maps.DeleteFunc(old, func(player, _ string) bool { return !c.isOverdue(player, waited) })
		if len(old) > 0 && waited > limit+slowestGate {
			c.violated("stranded", "%v wait at the end", c.describe(old))
		}
	}
	c.lookAndAudit()
}

func (c *chaos) isBroken() bool {
	select {
	case <-c.broken:
		return true
	default:
		return false
	}
}

// round plays one with so many matches, or more, and returns the points that no director
// came to.
func (c *chaos) round(r round, matches int) []*fault {
	c.setFaulty(true)
	for i, d := range c.directors {
		d.arm(r.points[i])
	}
	c.work.Go(func() {
		if c.wait(r.killAt) {
			c.t.Logf("director %d: killed by chance", r.killed)
			c.directors[r.killed].kill()
		}
	})
	for _, k := range r.frontends {
		c.work.Go(func() {
			if c.wait(k.at) {
				c.frontends[k.n].kill()
			}
		})
	}
	begin, redisDone := time.Now(), false
	for n := 0.; !c.isBroken(); {
		due, rate := time.Since(begin).Seconds(), 2.2*float64(matches)/arriving.Seconds() // some cancel
		if begun := arriving.Seconds(); due > begun {
			due = begun + (due-begun)/8 // only so that directors get to their points
		}
		for ; n < due*rate; n++ {
			c.come(one, true)
			every := refillEvery
			if time.Since(begin) > arriving {
				every /= 4 // most points that are left are those of filling up
			}
			if int(n)%every == 0 {
				c.come(host, true)
				c.come(joiner, true)
			}
		}
		for range c.refilling.due() {
			c.come(joiner, true)
		}
		if !redisDone && time.Since(begin) > r.redisAt {
			c.restartRedis(r)
			redisDone = true
		}
		points := 0
		for _, d := range c.directors {
			points += len(d.left())
		}
		if time.Since(begin) > arriving && redisDone && (points == 0 || time.Since(begin) > reach) {
			break
		}
		c.wait(tick)
	}
	return c.heal(r)
}

// heal ends all faults, and waits until everybody has an answer.
func (c *chaos) heal(r round) (left []*fault) {
	for _, d := range c.directors {
		for _, f := range d.disarm() {
			if !slices.Contains(left, f) {
				left = append(left, f)
			}
		}
	}
	c.setFaulty(false)
	eventually.True(c.t, "all faults are over, and all directors and frontends run", func() bool {
		over := c.ongoing.Load() == 0 && !slices.ContainsFunc(c.directors, func(d *chaosDirector) bool { return !d.up() }) &&
			!slices.ContainsFunc(c.frontends, func(f *chaosFrontend) bool { return !f.up() })
		return c.isBroken() || over
	})
	c.drain(r)
	c.lookAndAudit()
	return left
}

// lookAndAudit audits what there is to be seen now, unless something is wrong already and
// there are some who wait.
func (c *chaos) lookAndAudit() {
	if _, err := c.look(c.ctx); err != nil {
		c.violated("process", "game servers cannot be listed: %v", err)
	}
	if !c.isBroken() {
		c.audit()
	}
}

// restartRedis kills Redis and starts it again. If it comes back empty, those who wait
// are told at once.
func (c *chaos) restartRedis(r round) {
	c.redis.Kill()
	lost := c.whoWaits()
	c.wait(r.redisFor)
	if r.wipe {
		c.redis.Wipe()
	}
	c.redis.Run()
	if !r.wipe {
		return
	}
	back := time.Now()
	waits := func() int {
		now, n := c.whoWaits(), 0
		for player, ticket := range lost {
			if now[player] == ticket {
				n++
			}
		}
		return n
	}
	c.work.Go(func() {
		for waits() > 0 && time.Since(back) < stranded && c.wait(tick) {
		}
		if n := waits(); n > 0 && c.ctx.Err() == nil {
			c.violated("not told", "%d of %d players were not told in %v that Redis has lost their tickets", n, len(lost), stranded)
		}
		c.t.Logf("%d players were told after %v that Redis has lost their tickets", len(lost), time.Since(back).Round(time.Millisecond))
	})
}

// drain waits until nobody waits any more. Somebody is stranded who has waited for too
// long after the last fault, and still does while others who came later are served:
// time without a game server that is Ready does not count, nor does a machine that is
// slow with all.
func (c *chaos) drain(r round) {
	healed, old, with := time.Now(), c.whoWaits(), company{c: c}
	var waited time.Duration
	var last map[string]string
	var probing time.Duration // when the first probe began
	for probes, before := 0, 0; !c.isBroken(); c.wait(tick) {
		waiting := c.whoWaits()
		maps.DeleteFunc(old, func(player, ticket string) bool { return waiting[player] != ticket })
		if len(waiting) == 0 || waited > stranded && c.mayWait(waiting) {
			break // they are waited for while the next round goes on
		}
		last = waiting
		with.look()
		if c.ready.Load() > 0 {
			waited += tick
		}
		overdue := maps.Clone(old)
		maps.DeleteFunc(overdue, func(player, _ string) bool { return !c.isOverdue(player, waited) })
		if len(overdue) != before {
			probes, before, probing = 0, len(overdue), waited
		}
		if len(overdue) == 0 {
			continue
		}
		// Who was in a match that came to nothing since waits for the pendingReleaseTimeout.
		if probes >= 3 && waited-probing > pending {
			c.violated("stranded", "%v wait for %v after the last fault, while others who came later play; there are %v", c.describe(overdue), time.Since(healed).Round(time.Millisecond), c.describe(waiting))
			break
		}
		c.probe(overdue)
		probes++
	}
	c.t.Logf("round %d: %d matches, %d joins; %v waited for long; nobody waits %v after the last fault", r.number, c.matches(), c.joins(), last, time.Since(healed).Round(time.Millisecond))
}

// tick is the time between two looks.
const tick = 20 * time.Millisecond

// probe lets two more players come when there are game servers for them, and waits until
// they play. Beside those who wait for a match that is filled up others come for the same,
// with more and more whom they could play with, until they play: who seems to be there for
// them may be on the way into a running match.
func (c *chaos) probe(old map[string]string) {
	for c.ready.Load() < 4 && !c.isBroken() {
		c.wait(tick)
	}
	matches := c.matches()
	c.come(one, false)
	c.come(one, false)
	rivals := make(map[kindOfPlayer]string)
	for player := range old {
		if kind := c.kindOf(player); kind != one && rivals[kind] == "" {
			rivals[kind] = c.come(kind, false)
		}
	}
	company := make(map[kindOfPlayer][]string) // of the rival who comes for it
	for waited := time.Duration(0); !c.isBroken(); c.wait(tick) {
		maps.DeleteFunc(rivals, func(_ kindOfPlayer, rival string) bool { return !c.searches(rival) })
		for kind := range rivals {
			if slices.ContainsFunc(company[kind], c.searches) {
				continue
			}
			other := map[kindOfPlayer]kindOfPlayer{host: joiner, joiner: host}[kind]
			for range 1 + len(company[kind]) {
				company[kind] = append(company[kind], c.come(other, false))
			}
		}
		if c.matches() > matches && len(rivals) == 0 {
			return
		}
		if c.ready.Load() > 0 {
			waited += tick
		}
		if waited > limit+slowestGate {
			c.violated("stranded", "%v wait, and nobody plays any more", c.describe(old))
		}
	}
}
