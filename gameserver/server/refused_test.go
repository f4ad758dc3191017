//go:build unix

package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/pkg/eventually"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// gateProgram makes the test binary the gate.
const gateProgram = "GAMESERVER_TEST_GATE"

// The load of BenchmarkRefused.
const (
	refusalsPerSecond = 10_000
	joinsPerSecond    = 50
	attackers         = 16 // connections
	attackTime        = 10 * time.Second
)

// BenchmarkRefused attacks a gate, which is a process of its own, with tokens that it has to
// refuse, each reason in turn, while honest players join: how long they wait, how many
// refusals a second there are, and how much of the CPUs gate and generator take.
func BenchmarkRefused(b *testing.B) {
	sdk, issuer := harness.StartSDK(b), harness.StartIssuer(b)
	sdk.SetState("Ready")
	addr := startGateProcess(b, sdk, issuer)
	api := gateapi.NewClient("http://" + addr)
	b.Cleanup(api.Close)
	eventually.True(b, "the gate follows its server", func() bool { r, err := api.Roster(b.Context()); return err == nil && r.State == "Ready" })
	sdk.Give(match, nil)
	eventually.True(b, "the gate knows the match", func() bool { r, err := api.Roster(b.Context()); return err == nil && r.MatchID == match })
	for b.Loop() {
		attack(b, addr, api, issuer)
	}
}

func startGateProcess(b *testing.B, sdk *harness.SDK, issuer *harness.Issuer) (addr string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "--http-listen=127.0.0.1:0", "--sdk-grpc-port="+strconv.Itoa(sdk.Port()), "--jwks-url="+issuer.URL(),
		"--issuer="+harness.IssuerName, "--journal="+filepath.Join(b.TempDir(), "used"), "--log-level=ERROR")
	cmd.Env = append(os.Environ(), gateProgram+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	found := regexp.MustCompile(`http=(\S+)`).FindStringSubmatch(line)
	if err != nil || found == nil {
		b.Fatalf("the gate says %q, %v", line, err)
	}
	return found[1]
}

// attack plays attackTime and reports what came of it.
func attack(b *testing.B, addr string, api *gateapi.Client, issuer *harness.Issuer) {
	bad := badTokens(b, api, issuer)
	good := make([]string, int(attackTime.Seconds())*joinsPerSecond)
	for i := range good {
		good[i] = issuer.Mint(fmt.Sprintf("p%d", i), "red", match)
	}
	gateBefore, ownBefore := gateCPU(b, addr), ownCPU(b)
	ctx, cancel := context.WithTimeout(b.Context(), attackTime)
	defer cancel()
	begin := time.Now()
	var refused atomic.Int64
	var all sync.WaitGroup
	for n := range attackers {
		all.Go(func() {
			if err := attacker(ctx, addr, bad, n, begin, &refused); err != nil {
				b.Error(err)
			}
		})
	}
	waits := honest(ctx, b, api, good, begin)
	all.Wait()
	took := time.Since(begin)
	slices.Sort(waits)
	if len(waits) == 0 {
		b.Fatal("nobody came in")
	}
	at := func(q float64) float64 { return float64(waits[int(q*float64(len(waits)-1))].Microseconds()) / 1000 }
	b.ReportMetric(float64(refused.Load())/took.Seconds(), "refused/s")
	b.ReportMetric(at(0.5), "join-p50-ms")
	b.ReportMetric(at(0.99), "join-p99-ms")
	b.ReportMetric(at(1), "join-max-ms")
	b.ReportMetric((gateCPU(b, addr)-gateBefore)/took.Seconds(), "gate-CPUs")
	b.ReportMetric((ownCPU(b)-ownBefore)/took.Seconds(), "generator-CPUs")
	b.ReportMetric(0, "ns/op")
	for _, p := range roster(b, api).Present {
		if err := api.Depart(b.Context(), p.Player, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func roster(b *testing.B, api *gateapi.Client) gateapi.Roster {
	r, err := api.Roster(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// badTokens are those that an intruder can have: three of five cost the gate a signature.
func badTokens(b *testing.B, api *gateapi.Client, issuer *harness.Issuer) (requests [][]byte) {
	b.Helper()
	stranger := tokentest.NewIssuer(tokentest.RSA())
	used := issuer.Mint("thief", "red", match)
	if _, err := api.Admit(b.Context(), used, ""); err != nil {
		b.Fatal(err)
	}
	forged, other := issuer.Mint("eve", "red", match), stranger.Forge(time.Now()).Claims(nil)
	forged = forged[:strings.LastIndexByte(forged, '.')] + other[strings.LastIndexByte(other, '.'):]
	for raw, want := range map[string]token.Reason{
		used:   token.ReasonReplayed,
		forged: token.ReasonBadSignature,
		issuer.Forge(time.Now().Add(-time.Hour)).Claims(nil):                         token.ReasonExpired,
		issuer.Forge(time.Now()).Claims(tokentest.Object{"aud": "gs:games/arena-8"}): token.ReasonWrongAudience,
		issuer.Forge(time.Now()).Unsigned("none"):                                    token.ReasonBadAlgorithm,
	} {
		var refusal *gateapi.Refusal
		if _, err := api.Admit(b.Context(), raw, ""); !errors.As(err, &refusal) || refusal.Reason != want {
			b.Fatalf("%v, want %s", err, want)
		}
		body := `{"token":"` + raw + `"}`
		requests = append(requests, fmt.Appendf(nil,
			"POST /v1/admissions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	}
	return requests
}

// attacker sends its share of the requests on one connection, one after the other, and
// catches up when it is late.
func attacker(ctx context.Context, addr string, requests [][]byte, n int, begin time.Time, refused *atomic.Int64) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 4<<10)
	const each = time.Second * attackers / refusalsPerSecond
	for i := 0; ctx.Err() == nil; i++ {
		if early := time.Until(begin.Add(time.Duration(i) * each)); early > time.Millisecond {
			time.Sleep(early)
		}
		if _, err := conn.Write(requests[(n+i)%len(requests)]); err != nil {
			return err
		}
		status, err := readAnswer(in)
		if err != nil {
			return err
		}
		if status != http.StatusForbidden {
			return fmt.Errorf("an intruder gets %d", status)
		}
		refused.Add(1)
	}
	return nil
}

// readAnswer reads an answer with as little as that takes: the generator shares the CPUs
// with the gate.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 {
				return 0, io.ErrUnexpectedEOF
			}
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) == 0:
			_, err := in.Discard(length)
			return status, err
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			length, _ = strconv.Atoi(string(line[len("Content-Length: "):]))
		}
	}
}

// honest has players join at a fixed rate, and returns how long each has waited for the
// gate's answer, from when it was to be asked.
func honest(ctx context.Context, b *testing.B, api *gateapi.Client, tokens []string, begin time.Time) []time.Duration {
	var mu sync.Mutex
	var waits []time.Duration
	var all sync.WaitGroup
	for i, raw := range tokens {
		due := begin.Add(time.Duration(i) * time.Second / joinsPerSecond)
		time.Sleep(time.Until(due))
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			_, err := api.Admit(b.Context(), raw, strconv.Itoa(i))
			wait := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				b.Errorf("an honest player: %v", err)
			}
			waits = append(waits, wait)
		})
	}
	all.Wait()
	return waits
}

var cpuLine = regexp.MustCompile(`(?m)^process_cpu_seconds_total (\S+)$`)

// gateCPU is the CPU time of the gate so far, in seconds.
func gateCPU(b *testing.B, addr string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	found := cpuLine.FindSubmatch(text)
	if err != nil || found == nil {
		b.Fatalf("no CPU time: %v", err)
	}
	seconds, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return seconds
}

// ownCPU is that of this process.
func ownCPU(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
