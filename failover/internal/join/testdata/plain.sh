#!/bin/bash
# Joins this machine to its cluster. Runs as root at each boot; what is done is
# not done again.
set -Eeuo pipefail

say() { echo "torikumi-join: $*"; }
# A machine that can't join is of no use: it goes, and the next one is made at once.
# One that has joined may have games on it.
SAID=''
fail() {
	say "FAILED: $*"
	SAID=1
	[ -s /etc/kubernetes/kubelet.conf ] || systemctl poweroff
	exit 1
}
# So does a command that nobody expects to fail. Its line, not its text: that may hold
# the hook.
LINE='' HOOK='' CONFIG=''
# shellcheck disable=SC2317 # the trap calls it
ended() {
	local status=$?
	rm -f ${HOOK:+"$HOOK"} ${CONFIG:+"$CONFIG"}
	[ "$status" = 0 ] || [ -n "$SAID" ] || fail "${LINE:+line $LINE of }the startup script ended with $status"
}
trap 'LINE=$LINENO' ERR
trap ended EXIT

NODE='gcp-temp-worker-1-3d3b8057'

# Games run in pods, whose packets this machine forwards. They must not reach the
# metadata server, which has this script, the hook and the VM's credentials; but
# port 53, where the cluster's DNS asks on Compute Engine. After a reboot the
# kubelet waits for these rules too.
RULES=/etc/torikumi/no-metadata
DROPIN=/etc/systemd/system/kubelet.service.d/05-torikumi-metadata.conf
mkdir -p "$(dirname "$RULES")" "$(dirname "$DROPIN")"
cat >"$RULES" <<'METADATA'
# Drops what pods send to the metadata server, but for DNS. May be run again. If it
# fails, it prints what is open.
set -eu
OPEN="pods can reach the metadata server: neither nft nor iptables takes the rules"
trap '[ $? -eq 0 ] || echo "$OPEN"' EXIT
V4=169.254.169.254
# Of Compute Engine, and of another cloud.
V6="fd20:ce::254 fd00:ec2::254"

by_nft() {
	nft -f - <<NFT
table inet torikumi_metadata
delete table inet torikumi_metadata
table inet torikumi_metadata {
	chain forward {
		type filter hook forward priority -150; policy accept;
		ip daddr $V4 meta l4proto { tcp, udp } th dport 53 accept
		ip daddr $V4 drop
		ip6 daddr { $(echo "$V6" | tr ' ' ',') } meta l4proto { tcp, udp } th dport 53 accept
		ip6 daddr { $(echo "$V6" | tr ' ' ',') } drop
	}
}
NFT
}

# In mangle, which comes before what a network plugin accepts in filter.
chain() {
	"$1" -w -t mangle -N TORIKUMI-METADATA 2>/dev/null || "$1" -w -t mangle -F TORIKUMI-METADATA
	tool=$1
	shift
	for to in "$@"; do
		"$tool" -w -t mangle -A TORIKUMI-METADATA -d "$to" -p udp --dport 53 -j RETURN
		"$tool" -w -t mangle -A TORIKUMI-METADATA -d "$to" -p tcp --dport 53 -j RETURN
		"$tool" -w -t mangle -A TORIKUMI-METADATA -d "$to" -j DROP
	done
	"$tool" -w -t mangle -C FORWARD -j TORIKUMI-METADATA 2>/dev/null || "$tool" -w -t mangle -I FORWARD -j TORIKUMI-METADATA
}

by_iptables() {
	chain iptables "$V4"
	[ -e /proc/net/if_inet6 ] || return 0 # the kernel has no IPv6
	OPEN="pods may reach the metadata server by IPv6: neither nft nor ip6tables takes the rules"
	# shellcheck disable=SC2086 # words
	chain ip6tables $V6
}

if command -v nft >/dev/null && by_nft; then
	exit 0
fi
by_iptables
METADATA
LABELS='hardware=game-runner,node-location=gcp,node-type=gcp-temporary'
if ! OPEN=$(sh "$RULES"); then
	say "WARNING: $OPEN"
	# So that the controller knows, and a drill fails.
	LABELS="${LABELS:+$LABELS,}failover.operator.io/metadata-open=true"
fi
printf '[Service]\nExecStartPre=-/bin/sh %s\n' "$RULES" >"$DROPIN"
systemctl daemon-reload || say "WARNING: after a reboot pods may reach the metadata server for a moment"

# What the kubelet is started with. kubeadm's unit reads this file, also after a
# reboot.
DEFAULTS=/etc/default/kubelet
[ -d /etc/sysconfig ] && DEFAULTS=/etc/sysconfig/kubelet
# What the image has there is kept; later flags win.
[ -e "$DEFAULTS.image" ] || cp "$DEFAULTS" "$DEFAULTS.image" 2>/dev/null || : >"$DEFAULTS.image"
# shellcheck source=/dev/null
ARGS=$(unset KUBELET_EXTRA_ARGS; . "$DEFAULTS.image" && echo "${KUBELET_EXTRA_ARGS:-}") || fail "$DEFAULTS of the image can't be read"
OTHERS=$(grep -v '^[[:space:]]*KUBELET_EXTRA_ARGS=' "$DEFAULTS.image" || true)
ARGS="${ARGS:+$ARGS }"''"--hostname-override=$NODE"
ARGS="$ARGS --cloud-provider=external"
ARGS="$ARGS --provider-id="'gce://studio/europe-west4-a/gcp-temp-worker-1-3d3b8057'
[ -z "$LABELS" ] || ARGS="$ARGS --node-labels=$LABELS"
WANT="${OTHERS:+$OTHERS
}KUBELET_EXTRA_ARGS=\"$ARGS\""
CHANGED=
if [ "$(cat "$DEFAULTS" 2>/dev/null || true)" != "$WANT" ]; then
	echo "$WANT" >"$DEFAULTS.new"
	mv "$DEFAULTS.new" "$DEFAULTS"
	CHANGED=1
fi

if [ -s /etc/kubernetes/kubelet.conf ]; then
	say "has joined before"
	# A node IP that changed with the boot has to reach the kubelet.
	[ -z "$CHANGED" ] || systemctl restart kubelet
	exit 0
fi

# A join that was interrupted leaves files that the next one refuses.
if [ -e /etc/kubernetes/bootstrap-kubelet.conf ] || [ -e /etc/kubernetes/pki/ca.crt ]; then
	say "clears away an interrupted join"
	kubeadm reset --force >/dev/null 2>&1 || true
fi

# The token goes into a file that only root reads, not on a command line.
umask 077
CONFIG=$(mktemp)
cat >"$CONFIG" <<'JOIN'
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: "203.0.113.5:6443"
    token: "abcdef.0123456789abcdef"
    caCertHashes:
    - "sha256:abababababababababababababababababababababababababababababababab"
nodeRegistration:
  name: "gcp-temp-worker-1-3d3b8057"
  ignorePreflightErrors:
  - SystemVerification
JOIN

systemctl enable kubelet >/dev/null 2>&1 || true
for attempt in 1 2 3 4 5; do
	say "joins as $NODE, attempt $attempt"
	if kubeadm join --config "$CONFIG"; then
		say "joined"
		exit 0
	fi
	kubeadm reset --force >/dev/null 2>&1 || true
	sleep 5
done
fail "could not join"
