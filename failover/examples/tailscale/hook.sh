#!/bin/bash
# A join hook that enters a tailnet, for VMs that reach the cluster through
# Tailscale:
#
#   failover --join-hook=hook.sh --node-ip='$(tailscale ip -4)' --api-endpoint=TAILNET-ADDRESS:6443 …
#
# The image has Tailscale (https://tailscale.com/kb/1031/install-linux) and no
# key. The key is in Google's Secret Manager, and the VM's service account
# (--gce-service-account, with access to that one secret) fetches it. Make it
# reusable, pre-approved, ephemeral and tagged: a VM that is gone is forgotten.
set -euo pipefail
SECRET=projects/studio-games/secrets/tailscale-auth-key/versions/latest # yours

systemctl start tailscaled
# A VM that has rebooted is in the tailnet already.
if ! tailscale ip -4 >/dev/null 2>&1; then
	field() { sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p'; }
	KEY=$(mktemp) # not an argument: everybody may read those
	trap 'rm -f "$KEY"' EXIT
	TOKEN=$(curl -fsS --retry 5 --retry-all-errors -H "Metadata-Flavor: Google" \
		http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token | field access_token)
	curl -fsS --retry 5 --retry-all-errors -H @- "https://secretmanager.googleapis.com/v1/$SECRET:access" \
		<<<"Authorization: Bearer $TOKEN" | field data | base64 -d >"$KEY"
	[ -s "$KEY" ] || { echo "hook: $SECRET has no key" >&2; exit 1; }
	tailscale up --auth-key="file:$KEY" --hostname="$(hostname)" --timeout=60s
fi
tailscale ip -4 >/dev/null # or the kubelet would take another address
