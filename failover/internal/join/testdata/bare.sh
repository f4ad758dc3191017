#!/bin/bash
# Joins this machine to its cluster. Runs as root at each boot; what is done is
# not done again.
set -euo pipefail

say() { echo "torikumi-join: $*"; }
fail() { say "FAILED: $*"; exit 1; }

NODE='gcp-temp-worker-1-3d3b8057'

# What the kubelet is started with. kubeadm's unit reads this file, also after a
# reboot.
ARGS="--hostname-override=$NODE"
DEFAULTS=/etc/default/kubelet
[ -d /etc/sysconfig ] && DEFAULTS=/etc/sysconfig/kubelet
WANT="KUBELET_EXTRA_ARGS=\"$ARGS\""
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
trap 'rm -f "$CONFIG"' EXIT
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
