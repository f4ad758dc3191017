#!/bin/bash
# Joins this machine to its cluster. Runs as root at each boot; what is done is
# not done again.
set -euo pipefail

say() { echo "torikumi-join: $*"; }
fail() { say "FAILED: $*"; exit 1; }

NODE='gcp-temp-worker-1-3d3b8057'

if command -v kata-check >/dev/null; then
	kata-check || fail "kata-check: this machine cannot run Kata containers"
else
	[ -e /dev/kvm ] || fail "no /dev/kvm: nested virtualization is off"
fi

# The hook, at each boot: an overlay network has to be up before the kubelet is.
HOOK=$(mktemp)
trap 'rm -f "$HOOK"' EXIT
echo c2V0IC1lCnRhaWxzY2FsZSB1cCAtLWF1dGgta2V5PSIkKGNhdCAvZXRjL2tleSkiIC0taG9zdG5hbWU9J2l0JydzIG1lJwo= | base64 -d >"$HOOK"
say "hook"
bash "$HOOK" || fail "the hook ended with $?"

NODE_IP=$(tailscale ip -4)
[ -n "$NODE_IP" ] || fail "no node IP"

# What the kubelet is started with. kubeadm's unit reads this file, also after a
# reboot.
ARGS="--hostname-override=$NODE"
ARGS="$ARGS --cloud-provider=external"
ARGS="$ARGS --provider-id="'gce://studio/europe-west4-a/gcp-temp-worker-1-3d3b8057'
ARGS="$ARGS --node-labels="'hardware=game-runner,node-location=gcp,node-type=gcp-temporary'
ARGS="$ARGS --register-with-taints="'torikumi/new=true:NoSchedule'
ARGS="$ARGS --node-ip=$NODE_IP"
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
trap 'rm -f "$CONFIG" "$HOOK"' EXIT
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
