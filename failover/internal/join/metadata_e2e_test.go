//go:build e2e

package join_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// helper makes this test binary a program in another network namespace: "listen
// ADDRESS …", "dial ADDRESS" or "await ADDRESS", until it is ready.
const helper = "TORIKUMI_METADATA_HELPER"

// world is three network namespaces: the machine with the rules, a pod on it, and
// the cloud, which has the metadata server's addresses. $1 is this binary.
const world = `
set -euo pipefail
unshare -n sleep 300 & POD=$!
unshare -n sleep 300 & CLOUD=$!
trap 'kill $POD $CLOUD $COPROC_PID 2>/dev/null || true' EXIT
for pid in $POD $CLOUD; do until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done; done
pod() { nsenter -t $POD -n "$@"; }
cloud() { nsenter -t $CLOUD -n "$@"; }
ip link set lo up
ip link add pod0 type veth peer name eth0 netns $POD
ip link add cloud0 type veth peer name eth0 netns $CLOUD
for a in 10.0.1.1/24 fd01::1/64; do ip addr add $a dev pod0 nodad 2>/dev/null || ip addr add $a dev pod0; done
for a in 10.0.2.1/24 fd02::1/64; do ip addr add $a dev cloud0 nodad 2>/dev/null || ip addr add $a dev cloud0; done
ip link set pod0 up; ip link set cloud0 up
for ns in pod cloud; do $ns ip link set lo up; $ns ip link set eth0 up; done
pod ip addr add 10.0.1.2/24 dev eth0; pod ip addr add fd01::2/64 dev eth0 nodad
cloud ip addr add 10.0.2.2/24 dev eth0; cloud ip addr add fd02::2/64 dev eth0 nodad
cloud ip addr add 169.254.169.254/32 dev eth0; cloud ip addr add fd20:ce::254/128 dev eth0 nodad
pod ip route add default via 10.0.1.1; pod ip -6 route add default via fd01::1
cloud ip route add default via 10.0.2.1; cloud ip -6 route add default via fd02::1
ip route add 169.254.169.254/32 via 10.0.2.2; ip -6 route add fd20:ce::254/128 via fd02::2
echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
export TORIKUMI_METADATA_HELPER="listen 169.254.169.254:80 169.254.169.254:53 10.0.2.2:80 [fd20:ce::254]:80 [fd20:ce::254]:53 [fd02::2]:80"
coproc { exec nsenter -t $CLOUD -n "$1"; }
read -r line <&"${COPROC[0]}"; [ "$line" = listening ]
look() {
	for a in 169.254.169.254:80 169.254.169.254:53 10.0.2.2:80 '[fd20:ce::254]:80' '[fd20:ce::254]:53' '[fd02::2]:80'; do
		echo "$1 $a $(TORIKUMI_METADATA_HELPER="$3 $a" pod "$2")"
	done
}
look before "$1" await
for again in 1 2; do sh "$2"; done
look after "$1" dial
echo "machine $(TORIKUMI_METADATA_HELPER="dial 169.254.169.254:80" "$1")"
`

// TestMain makes this test binary the program of another network namespace where
// the script starts it there.
func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(helper))
	if len(words) == 0 {
		os.Exit(m.Run())
	}
	if err := help(words[0], words[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func help(verb string, addresses []string) error {
	if verb == "listen" {
		return listen(addresses)
	}
	c, err := net.DialTimeout("tcp", addresses[0], time.Second)
	for until := time.Now().Add(10 * time.Second); err != nil && verb == "await" && time.Now().Before(until); {
		c, err = net.DialTimeout("tcp", addresses[0], time.Second)
	}
	if err != nil {
		fmt.Println("closed")
		return nil
	}
	fmt.Println("open")
	return c.Close()
}

// listen accepts connections until the process is ended.
func listen(addresses []string) error {
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		go func() {
			for {
				if c, err := l.Accept(); err == nil {
					c.Close()
				}
			}
		}()
	}
	fmt.Println("listening")
	select {}
}

// TestMetadataIsClosed lets packets of a pod go to the metadata server, through
// this kernel, with nft and with iptables.
func TestMetadataIsClosed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("root is needed for network namespaces")
	}
	for _, tool := range []string{"nft", "iptables"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool); errors.Is(err, exec.ErrNotFound) {
				t.Skipf("%s is not installed", tool)
			}
			rules := "metadata.sh"
			if tool == "iptables" {
				text, err := os.ReadFile(rules)
				if err != nil {
					t.Fatal(err)
				}
				rules = t.TempDir() + "/rules"
				if err := os.WriteFile(rules, []byte(strings.Replace(string(text), "command -v nft", "false", 1)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "unshare", "-n", "bash", "-c", world, "world", self, rules)
			cmd.WaitDelay = time.Second
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line, want := range map[string]string{
				"before 169.254.169.254:80": "open", "before 169.254.169.254:53": "open", "before [fd20:ce::254]:80": "open", "before [fd20:ce::254]:53": "open",
				"after 169.254.169.254:80": "closed", "after 169.254.169.254:53": "open", "after 10.0.2.2:80": "open",
				"after [fd20:ce::254]:80": "closed", "after [fd20:ce::254]:53": "open", "after [fd02::2]:80": "open", "machine": "open",
			} {
				if !strings.Contains(string(out), line+" "+want+"\n") {
					t.Errorf("%s is not %s", line, want)
				}
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}
