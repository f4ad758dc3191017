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

NODE={{quote .Node}}

# Games run in pods, whose packets this machine forwards. They must not reach the
# metadata server, which has this script, the hook and the VM's credentials; but
# port 53, where the cluster's DNS asks on Compute Engine. After a reboot the
# kubelet waits for these rules too.
RULES=/etc/torikumi/no-metadata
DROPIN=/etc/systemd/system/kubelet.service.d/05-torikumi-metadata.conf
mkdir -p "$(dirname "$RULES")" "$(dirname "$DROPIN")"
cat >"$RULES" <<'METADATA'
{{.MetadataRules}}METADATA
LABELS={{quote .LabelList}}
if ! OPEN=$(sh "$RULES"); then
	say "WARNING: $OPEN"
	# So that the controller knows, and a drill fails.
	LABELS="${LABELS:+$LABELS,}{{.MetadataOpen}}=true"
fi
printf '[Service]\nExecStartPre=-/bin/sh %s\n' "$RULES" >"$DROPIN"
systemctl daemon-reload || say "WARNING: after a reboot pods may reach the metadata server for a moment"
{{- if .KeepCopy}}

# Once the machine has joined, the controller takes this script out of its metadata,
# if the Node's label says that there is a copy. From then on that runs at each boot.
COPY=/etc/torikumi/join
UNIT=/etc/systemd/system/torikumi-join.service
keep() {
	[ "$0" != "$COPY" ] || return 0
	[ -f "$0" ] || return
	install -m 700 "$0" "$COPY.new" && mv "$COPY.new" "$COPY" || return
	cat >"$UNIT" <<'END' || return
[Unit]
Description=What the startup script does, when the metadata has none
Wants=network-online.target
After=network-online.target containerd.service

[Service]
Type=oneshot
ExecCondition=/bin/sh -c '! curl -fs -m 5 -o /dev/null -H "Metadata-Flavor: Google" http://169.254.169.254/computeMetadata/v1/instance/attributes/startup-script'
ExecStart=/bin/bash /etc/torikumi/join

[Install]
WantedBy=multi-user.target
END
	systemctl enable torikumi-join.service >/dev/null 2>&1
}
if keep; then
	LABELS="${LABELS:+$LABELS,}{{.ScriptKept}}=true"
else
	say "WARNING: keeps no copy of this script, which stays in the metadata"
fi
{{- end}}
{{- if .RequireKata}}

if command -v kata-check >/dev/null; then
	kata-check || fail "kata-check: this machine cannot run Kata containers"
else
	[ -e /dev/kvm ] || fail "no /dev/kvm: nested virtualization is off"
fi
{{- end}}
{{- if .Hook}}

# The hook, at each boot: an overlay network has to be up before the kubelet is.
HOOK=$(mktemp)
echo {{base64 .HookBytes}} | base64 -d >"$HOOK"
say "hook"
bash "$HOOK" || fail "the hook ended with $?"
{{- end}}
{{- if .NodeIP}}

NODE_IP={{.NodeIP}} || fail "--node-ip: the command ended with $?"
[ -n "$NODE_IP" ] || fail "--node-ip: the command prints nothing"
for ip in ${NODE_IP//,/ }; do
	if [[ ! $ip =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}$ && ! $ip =~ ^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*$ || $NODE_IP =~ [[:space:]] ]]; then
		fail "--node-ip: must be one address, the command prints: ${NODE_IP//$'\n'/ }"
	fi
done
{{- end}}

# What the kubelet is started with. kubeadm's unit reads this file, also after a
# reboot.
DEFAULTS=/etc/default/kubelet
[ -d /etc/sysconfig ] && DEFAULTS=/etc/sysconfig/kubelet
# What the image has there is kept; later flags win.
[ -e "$DEFAULTS.image" ] || cp "$DEFAULTS" "$DEFAULTS.image" 2>/dev/null || : >"$DEFAULTS.image"
# shellcheck source=/dev/null
ARGS=$(unset KUBELET_EXTRA_ARGS; . "$DEFAULTS.image" && echo "${KUBELET_EXTRA_ARGS:-}") || fail "$DEFAULTS of the image can't be read"
OTHERS=$(grep -v '^[[:space:]]*KUBELET_EXTRA_ARGS=' "$DEFAULTS.image" || true)
ARGS="${ARGS:+$ARGS }"{{quote .KubeletArgs}}"--hostname-override=$NODE"
{{- if .ExternalCloud}}
ARGS="$ARGS --cloud-provider=external"
{{- end}}
{{- if .ProviderID}}
ARGS="$ARGS --provider-id="{{quote .ProviderID}}
{{- end}}
[ -z "$LABELS" ] || ARGS="$ARGS --node-labels=$LABELS"
{{- if .TaintList}}
ARGS="$ARGS --register-with-taints="{{quote .TaintList}}
{{- end}}
{{- if .NodeIP}}
ARGS="$ARGS --node-ip=$NODE_IP"
{{- end}}
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
    apiServerEndpoint: {{printf "%q" .Endpoint}}
    token: {{printf "%q" .Token}}
    caCertHashes:
    - {{printf "%q" .CAHash}}
nodeRegistration:
  name: {{printf "%q" .Node}}
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
