#!/bin/bash
# Turns a Debian or Ubuntu into a node: the image that failover's VMs boot, or a
# worker on premises. Each step is a check and what makes it pass, so a second
# run changes nothing, and a run that was interrupted is continued by the next.
set -Eeuo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

usage() {
	cat <<'END'
prepare-node.sh makes this machine (or the chroot it runs in) a Kubernetes node:
containerd, kubeadm and kubelet, Kata Containers, kernel modules, sysctls, no swap.
It needs root, and a Debian 12 or 13, or an Ubuntu 22.04 or 24.04 (amd64, arm64).

  prepare-node.sh --kubernetes-version=1.34.4 --kata-from=URL --kata-sha256=SUM [--seal]
  prepare-node.sh --check

  --kubernetes-version=1.X.Y   KUBERNETES_VERSION     at least 1.31
  --kubernetes-repository=URL  KUBERNETES_REPOSITORY  apt repository [https://pkgs.k8s.io/core:/stable:/v1.X/deb]
  --kubernetes-from=FOLDER     KUBERNETES_FROM        take the programs kubeadm and kubelet from here instead
  --kata-from=FILE|URL         KATA_FROM              a release's kata-static-….tar.zst or .tar.xz
  --kata-sha256=SUM            KATA_SHA256            its checksum
  --without-kata                                      no Kata Containers
  --fence-after=SECONDS        FENCE_AFTER            stop the game servers when no API server has answered for as long;
                                                      without it a watchdog of an earlier run is removed
  --fence-servers=HOST:PORT,…  FENCE_SERVERS          API servers besides that of the kubelet, for --fence-after
  --fence-witnesses=HOST:PORT,… FENCE_WITNESSES       what stands beside the API servers: while it answers, nothing is stopped
  --api-server-version=1.X.Y   API_SERVER_VERSION     of the cluster: the kubelet has to fit
  --seal                                              remove what must not be in an image: identity, keys, caches
  --check                                             change nothing, print a line for each step, end with 1 if any fails
  --print=FILE                                        print what would be written to FILE
END
}

say() { echo "prepare-node: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }
# How a check says no: its function returns right after.
no() { echo "$*"; return 1; }

VERSION=${KUBERNETES_VERSION:-} REPOSITORY=${KUBERNETES_REPOSITORY:-} FROM=${KUBERNETES_FROM:-}
KATA_FROM=${KATA_FROM:-} KATA_SHA256=${KATA_SHA256:-}
FENCE_AFTER=${FENCE_AFTER:-} FENCE_SERVERS=${FENCE_SERVERS:-} FENCE_WITNESSES=${FENCE_WITNESSES:-}
API_SERVER_VERSION=${API_SERVER_VERSION:-}
KATA=1 SEAL='' CHECK='' PRINT='' STEP=start
MARK="Made by prepare-node.sh"
CLEAN="" # what an ending run removes

PACKAGES=(ca-certificates conntrack curl ethtool iproute2 iptables kmod mount procps runc socat util-linux xz-utils zstd)

live() { [ -d /run/systemd/system ]; }
joined() { [ -s /etc/kubernetes/kubelet.conf ] || [ -s /etc/kubernetes/admin.conf ]; }
installed() { [[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" == ?i\  ]]; }
# By dpkg: apt-mark writes a cache, also to look.
held() { [[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" == hi\  ]]; }
modules() { printf '%s\n' overlay br_netfilter ${KATA:+vhost_net vhost_vsock}; }
minor() { local m=${1#1.}; echo "${m%%.*}"; }
# Prints nothing where there is no containerd.
containerd_major() { if [[ "$(containerd --version 2>/dev/null)" =~ [\ v]([0-9]+)\.[0-9]+\.[0-9]+ ]]; then echo "${BASH_REMATCH[1]}"; fi; }

apt() {
	apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
		-o APT::Install-Recommends=false --yes --quiet "$@"
}

# The files that this script writes, by name.
content() {
	[[ $1 != */bin/* ]] || echo "#!/bin/bash"
	echo "# $MARK"
	case $1 in
	/etc/modules-load.d/torikumi.conf)
		# kvm_intel or kvm_amd is loaded by udev where the CPU has it, and
		# naming the wrong one would fail the boot's module service.
		modules
		;;
	/etc/sysctl.d/99-torikumi.conf)
		cat <<END
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
fs.inotify.max_user_instances = 8192
fs.inotify.max_user_watches = 524288
END
		;;
	/etc/apt/sources.list.d/kubernetes.list)
		echo "deb [signed-by=/etc/apt/keyrings/kubernetes.asc] $REPOSITORY/ /"
		;;
	/etc/systemd/system/kubelet.service)
		cat <<END
[Unit]
Description=Kubernetes node agent
Wants=network-online.target
After=network-online.target containerd.service
StartLimitIntervalSec=0

[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=/usr/local/bin/kubelet \\
  --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \\
  --kubeconfig=/etc/kubernetes/kubelet.conf \\
  --config=/var/lib/kubelet/config.yaml \\
  \$KUBELET_KUBEADM_ARGS \$KUBELET_EXTRA_ARGS
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
END
		;;
	/etc/kata-containers/configuration.toml)
		echo "# It is the release's. Put settings of your own into config.d/*.toml."
		cat /opt/kata/share/defaults/kata-containers/configuration-qemu.toml
		;;
	/usr/local/bin/kata-check)
		cat <<END
# Ends with 0 if this machine can run Kata containers now. failover's startup
# script asks it before the join (--require-kata).
fail() { echo "kata-check: \$*" >&2; exit 1; }

for module in vhost_net vhost_vsock; do modprobe -q "\$module"; done
[ -e /dev/kvm ] || modprobe -q kvm_intel || modprobe -q kvm_amd
for device in /dev/kvm /dev/vhost-net /dev/vhost-vsock; do
	[ -c "\$device" ] || fail "no \$device: nested virtualization is off, or the kernel lacks the module"
	: 2>/dev/null <>"\$device" || fail "\$device cannot be opened"
done
[[ "\$(containerd config dump)" == *"runtimes.kata]"* ]] || fail "containerd has no runtime handler kata"
[[ "\$(containerd-shim-kata-v2 --version)" == *Golang* ]] || fail "containerd-shim-kata-v2 is not the Go runtime"
out=\$(kata-runtime --config=/etc/kata-containers/configuration.toml check --no-network-checks 2>&1) ||
	fail "kata-runtime check: \$out"
END
		;;
	/etc/containerd/config.toml)
		local version=2 cri=io.containerd.grpc.v1.cri
		if [ "$(containerd_major)" -ge 2 ] 2>/dev/null; then version=3 cri=io.containerd.cri.v1.runtime; fi
		echo "version = $version"
		# The folders are the defaults of containerd 2, which names them by another key.
		[ "$version" = 3 ] || cat <<END
[plugins."$cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
END
		cat <<END
[plugins."$cri".containerd]
default_runtime_name = "runc"
[plugins."$cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."$cri".containerd.runtimes.runc.options]
SystemdCgroup = true
END
		[ -z "$KATA" ] || cat <<END
[plugins."$cri".containerd.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
privileged_without_host_devices = true
[plugins."$cri".containerd.runtimes.kata.options]
ConfigPath = "/etc/kata-containers/configuration.toml"
END
		;;
	/etc/apt/apt.conf.d/99torikumi)
		# A node that upgrades by itself restarts what games run in.
		echo 'APT::Periodic::Enable "0";'
		echo 'APT::Periodic::Unattended-Upgrade "0";'
		;;
	/usr/local/bin/torikumi-fence)
		cat <<'END'
# Stops the game servers of this node once no API server has answered for
# FENCE_AFTER seconds: by then they may have been replaced elsewhere. When one
# answers again, the kubelet does what it says.
#
# Seconds that it may take from FENCE_AFTER to the end of the last container, as
# docs/failover-reference.md has them:
#   9  a look begins every 5 s and takes at most 4
#   3  the witnesses are looked for, if there are any
#   5  the kubelet has to stop
#   5  from SIGTERM to SIGKILL, for what does not end by itself
# and what containerd takes for its answers.
set -u
AFTER=$FENCE_AFTER SERVERS=${FENCE_SERVERS:-} WITNESSES=${FENCE_WITNESSES:-}
EVERY=${FENCE_EVERY:-5} GRACE=${FENCE_GRACE:-5}
STOPPED=/run/torikumi-fence/stopped

say() { echo "torikumi-fence: $*"; }
# Seconds by a clock that nobody sets, and that goes on while the machine is suspended.
now() { local up; read -r up _ </proc/uptime; echo "${up%%.*}"; }

servers() {
	sed -nE 's|^ *server: *"?(https://[^"[:space:]]+)"?.*|\1|p' /etc/kubernetes/kubelet.conf
	for at in ${SERVERS//,/ }; do echo "https://$at"; done
}

# Reports whether any of the commands that run in the background ends well.
any() {
	local pid ok=1
	for pid in "$@"; do
		if wait "$pid"; then ok=0; fi
	done
	return "$ok"
}

# Whatever an API server of this cluster says, even no: it is there. All are asked at
# once.
answers() {
	local url all=()
	for url in $(servers); do
		curl --silent --output /dev/null --noproxy '*' --connect-timeout 3 --max-time 4 --cacert /etc/kubernetes/pki/ca.crt "$url/livez" &
		all+=($!)
	done
	any "${all[@]}"
}

# What stands beside the API servers is reached: it is they that are away, and
# nobody replaces anything.
witnessed() {
	local at host all=()
	for at in ${WITNESSES//,/ }; do
		host=${at%:*} host=${host#[} host=${host%]}
		# shellcheck disable=SC2016 # of the other bash
		timeout 3 bash -c ': 3<>"/dev/tcp/$0/$1"' "$host" "${at##*:}" 2>/dev/null &
		all+=($!)
	done
	any "${all[@]}"
}

ctrd() { timeout 20 ctr --namespace k8s.io "$@"; }

# The containers of a game server's pod: a sandbox has the pod's labels, and all have
# its UID.
containers() {
	local uid
	uid=$(ctrd containers info "$1" | sed -nE 's|.*"io.kubernetes.pod.uid": "([^"]+)".*|\1|p' | head -n1)
	[ -z "$uid" ] || ctrd containers ls -q "labels.\"io.kubernetes.pod.uid\"==$uid"
}
export -f ctrd containers

# The containers of game servers' pods that run.
games() {
	local all running
	running=$(ctrd tasks ls) || return
	running=$(awk '$3 == "RUNNING" { print $1 }' <<<"$running")
	all=$(ctrd containers ls -q 'labels."agones.dev/role"==gameserver') || return
	# shellcheck disable=SC2016 # of the other bash
	all=$(xargs --no-run-if-empty --max-procs=8 --max-args=1 bash -c 'containers "$0"' <<<"$all") || return
	grep -Fx -e "$all" <<<"$running"
	return 0
}

# Reports whether no game runs any more. The kubelet would start them again.
stop() {
	local signal left since
	if ! timeout 5 systemctl stop kubelet; then
		say "the kubelet does not stop: SIGKILL"
		timeout 5 systemctl kill --signal=SIGKILL kubelet || say "the kubelet can't be killed"
	fi
	for signal in SIGTERM SIGKILL; do
		left=$(games) || return
		[ -n "$left" ] || return 0
		say "$signal to $(wc -l <<<"$left") containers"
		since=$(now)
		xargs --max-procs=8 --max-args=1 timeout 20 ctr --namespace k8s.io tasks kill --signal "$signal" <<<"$left"
		while [ $(($(now) - since)) -lt "$GRACE" ]; do
			left=$(games) || return
			[ -n "$left" ] || return 0
			sleep 1
		done
	done
	return 1
}

say "game servers are stopped when no API server has answered for $AFTER s"
LAST=$(now)
while :; do
	BEGAN=$(now)
	if [ ! -s /etc/kubernetes/kubelet.conf ]; then
		LAST=$(now) # it has not joined
	elif answers; then
		LAST=$BEGAN
		if [ -e "$STOPPED" ]; then
			say "an API server answers again: the kubelet is started"
			if timeout 20 systemctl start kubelet; then rm -f "$STOPPED"; fi
		fi
	elif [ $(($(now) - LAST)) -ge "$AFTER" ] && ! witnessed; then
		mkdir -p "${STOPPED%/*}"
		[ -e "$STOPPED" ] || say "no API server has answered for $(($(now) - LAST)) s: game servers are stopped"
		: >"$STOPPED" # before: who is killed in between starts the kubelet again
		stop || say "some game servers still run"
	fi
	PAUSE=$((BEGAN + EVERY - $(now)))
	[ "$PAUSE" -le 0 ] || sleep "$PAUSE"
done
END
		;;
	/etc/systemd/system/torikumi-fence.service)
		cat <<END
[Unit]
Description=Stops the game servers of a node that is cut off from its API servers
After=containerd.service

[Service]
Environment=FENCE_AFTER=$FENCE_AFTER FENCE_SERVERS=$FENCE_SERVERS FENCE_WITNESSES=$FENCE_WITNESSES
ExecStart=/usr/local/bin/torikumi-fence
Restart=always
RestartSec=5
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
END
		;;
	/etc/crictl.yaml) echo "runtime-endpoint: unix:///run/containerd/containerd.sock" ;;
	*) fail "this script writes no $1" ;;
	esac
}

# put writes content's files, each at once. A file of somebody else is kept
# beside it, once.
put() {
	local file mode
	for file in "$@"; do
		mode=644
		[[ $file != */bin/* ]] || mode=755
		mkdir -p "${file%/*}"
		content "$file" >"$file.new"
		chmod "$mode" "$file.new"
		if [ -e "$file" ] && [ ! -e "$file.orig" ] && ! grep -q "$MARK" "$file"; then
			cp -a "$file" "$file.orig.new"
			mv "$file.orig.new" "$file.orig"
		fi
		mv "$file.new" "$file"
	done
}

written() {
	local file
	for file in "$@"; do
		cmp -s <(content "$file") "$file" || { no "$file is not as this script writes it"; return; }
		[ ! -e "$file.new" ] || { no "$file.new is left of an interrupted run"; return; }
	done
}

check_system() {
	local os
	# shellcheck disable=SC1090 # SYSTEMD_OS_RELEASE is systemd's own name for it
	os=$(. "${SYSTEMD_OS_RELEASE:-/etc/os-release}" && echo "${ID:-} ${VERSION_ID:-}") || { no "no os-release"; return; }
	[[ $os =~ ^(debian\ 1[23]|ubuntu\ 2[24]\.04)$ ]] || { no "this is $os: need debian 12 or 13, ubuntu 22.04 or 24.04"; return; }
	[[ $(dpkg --print-architecture) =~ ^(amd64|arm64)$ ]] || { no "the architecture is neither amd64 nor arm64"; return; }
	[ "$(id -u)" = 0 ] || { no "need to be root"; return; }
	command -v systemctl >/dev/null || { no "no systemd"; return; }
	[ -e /proc/self/fd ] || { no "/proc is not mounted"; return; }
	# The startup script would write the kubelet's flags there.
	[ ! -d /etc/sysconfig ] || { no "/etc/sysconfig exists: Debian's kubelet does not read it, the join would"; return; }
	live || { echo "cgroups: not booted"; return; }
	[ -f /sys/fs/cgroup/cgroup.controllers ] || no "cgroup v1: Kubernetes needs v2"
}
make_system() { :; }

# Docker's containerd.io brings runc along, and excludes the package.
there() { installed "$1" || { [ "$1" = runc ] && command -v runc >/dev/null; }; }

check_packages() {
	local p
	[ -z "$(dpkg --audit)" ] || { no "dpkg was interrupted"; return; }
	for p in "${PACKAGES[@]}"; do there "$p" || { no "package $p is not installed"; return; }; done
	command -v containerd >/dev/null || { no "containerd is not installed"; return; }
	for p in containerd containerd.io runc; do
		! installed "$p" || held "$p" || { no "package $p is not held"; return; }
	done
}
make_packages() {
	local p missing=()
	dpkg --configure -a
	apt update
	apt --fix-broken install
	# Docker's containerd.io does as well, and excludes Debian's; or one that is no package.
	command -v containerd >/dev/null || missing+=(containerd)
	for p in "${PACKAGES[@]}"; do there "$p" || missing+=("$p"); done
	[ ${#missing[@]} = 0 ] || apt install "${missing[@]}"
	for p in containerd containerd.io runc; do ! installed "$p" || apt-mark hold "$p" >/dev/null; done
	apt clean
}

# What is installed stays as it is: an upgrade that comes by itself restarts what
# games run in.
check_upgrades() {
	local unit
	written /etc/apt/apt.conf.d/99torikumi || return
	for unit in apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service; do
		[ "$(readlink "/etc/systemd/system/$unit")" = /dev/null ] || { no "$unit is not masked"; return; }
	done
}
make_upgrades() {
	put /etc/apt/apt.conf.d/99torikumi
	systemctl -q mask apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service
	if live; then systemctl -q stop apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service 2>/dev/null || true; fi
}

# The kernels that may boot next.
check_kernel() {
	local kernel k m want
	want=$(modules)
	[ -z "$KATA" ] || [ "$(dpkg --print-architecture)" != amd64 ] || want="$want kvm_intel kvm_amd"
	for kernel in /boot/vmlinuz-*; do
		[ -e "$kernel" ] || { echo "no kernel here"; return; }
		k=${kernel#*-}
		for m in $want; do
			modinfo -k "$k" "$m" >/dev/null 2>&1 || { no "kernel $k has no module $m: install another, remove this"; return; }
		done
	done
}
make_kernel() {
	local kernel p
	apt update
	# Ubuntu has some modules in a package of their own.
	for kernel in /boot/vmlinuz-*; do
		p=linux-modules-extra-${kernel#*-}
		if apt-cache show "$p" >/dev/null 2>&1; then apt install "$p"; fi
	done
}

check_modules() {
	local m
	written /etc/modules-load.d/torikumi.conf || return
	live || { echo "loaded: not booted"; return; }
	for m in $(modules); do [ -d "/sys/module/$m" ] || { no "module $m is not loaded"; return; }; done
}
make_modules() {
	put /etc/modules-load.d/torikumi.conf
	if live; then modules | xargs modprobe --all; fi
}

check_sysctl() {
	local key value is
	written /etc/sysctl.d/99-torikumi.conf || return
	live || { echo "in force: not booted"; return; }
	while read -r key _ value; do
		is=$(sysctl -n "$key" 2>/dev/null) || is="not there"
		[ "$is" = "$value" ] || { no "$key is $is, not $value"; return; }
	done < <(content /etc/sysctl.d/99-torikumi.conf | grep ' = ')
}
make_sysctl() {
	put /etc/sysctl.d/99-torikumi.conf
	if live; then sysctl -q -p /etc/sysctl.d/99-torikumi.conf; fi
}

# Fields of fstab: what, where, type.
swaps='^[[:space:]]*[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]'
check_swap() {
	! grep -Eqs "$swaps" /etc/fstab || { no "/etc/fstab has swap"; return; }
	# Partitions and zram bring swap without fstab.
	[ "$(readlink /etc/systemd/system/swap.target)" = /dev/null ] || { no "swap.target is not masked"; return; }
	live || { echo "off: not booted"; return; }
	[ "$(wc -l </proc/swaps)" = 1 ] || no "swap is on"
}
make_swap() {
	if [ -e /etc/fstab ]; then sed -i -E "/$swaps/s/^/# no swap on a node: /" /etc/fstab; fi
	systemctl -q mask swap.target
	if live; then swapoff -a; fi
}

# What runs: "1.34.4", or nothing.
kubelet_version() { kubelet --version 2>/dev/null | sed -n 's/^Kubernetes v//p'; }
kubeadm_version() { kubeadm version -o short 2>/dev/null | sed 's/^v//'; }

# Says no to a kubelet that the cluster's API server does not support.
skew() {
	[ -n "$API_SERVER_VERSION" ] || { echo "kubelet $1; that it fits the API server: --api-server-version is not given"; return; }
	local older=$(($(minor "$API_SERVER_VERSION") - $(minor "$1")))
	[ "$older" -ge 0 ] || { no "kubelet $1 is newer than the API server, $API_SERVER_VERSION"; return; }
	[ "$older" -le 3 ] || no "kubelet $1 is $older minor versions older than the API server, $API_SERVER_VERSION: 3 are supported"
}

check_kubernetes() {
	local p want=$VERSION
	if [ -n "$FROM" ]; then
		for p in kubeadm kubelet; do
			cmp -s "$FROM/$p" "/usr/local/bin/$p" || { no "/usr/local/bin/$p is not that of $FROM"; return; }
		done
		written /etc/systemd/system/kubelet.service || return
	elif [ -n "$REPOSITORY" ]; then
		written /etc/apt/sources.list.d/kubernetes.list || return
		for p in kubeadm kubelet; do installed "$p" || { no "package $p is not installed"; return; }; done
	fi
	: "${want:=$(kubelet_version)}"
	[ -n "$want" ] || { no "no kubelet"; return; }
	[ "$(kubelet_version)" = "$want" ] || { no "kubelet is $(kubelet_version), not $want"; return; }
	[ "$(kubeadm_version)" = "$want" ] || { no "kubeadm is $(kubeadm_version), not $want"; return; }
	for p in kubeadm kubelet; do
		! installed "$p" || held "$p" || { no "package $p is not held"; return; }
	done
	skew "$want" || return
	[ -x /opt/cni/bin/loopback ] || { no "no CNI plugins in /opt/cni/bin"; return; }
	grep -qs '^EnvironmentFile=-/etc/default/kubelet' {/etc,/lib}/systemd/system/kubelet.service{,.d/*.conf} ||
		{ no "the kubelet's unit does not read /etc/default/kubelet"; return; }
	joined || [ "$(systemctl is-enabled kubelet 2>/dev/null)" = disabled ] || no "the kubelet is not disabled until the join"
}
make_kubernetes() {
	local p is
	is=$(kubelet_version || true)
	if joined && [ "$is" != "$VERSION" ]; then fail "kubernetes: this node has joined with kubelet ${is:-none}: upgrade it with kubeadm, then prepare"; fi
	if [ -n "$FROM" ]; then
		mkdir -p /usr/local/bin /opt/cni/bin
		# A network's DaemonSet may have put newer ones there.
		for p in /usr/lib/cni/*; do
			[ ! -e "/opt/cni/bin/${p##*/}" ] || continue
			cp "$p" /opt/cni/.new
			mv /opt/cni/.new "/opt/cni/bin/${p##*/}"
		done
		for p in kubeadm kubelet; do
			install -m 755 "$FROM/$p" "/usr/local/bin/.$p.new"
			mv "/usr/local/bin/.$p.new" "/usr/local/bin/$p"
		done
		put /etc/systemd/system/kubelet.service
	else
		mkdir -p /etc/apt/keyrings
		curl -fsSL --retry 3 -o /etc/apt/keyrings/kubernetes.new "$REPOSITORY/Release.key" || fail "kubernetes: no $REPOSITORY/Release.key"
		mv /etc/apt/keyrings/kubernetes.new /etc/apt/keyrings/kubernetes.asc
		put /etc/apt/sources.list.d/kubernetes.list
		apt -o APT::Update::Error-Mode=any update || fail "kubernetes: apt does not accept $REPOSITORY"
		apt install --allow-change-held-packages --allow-downgrades "kubelet=$VERSION-*" "kubeadm=$VERSION-*" ||
			fail "kubernetes: $REPOSITORY has no kubelet and kubeadm $VERSION that can be installed"
		apt-mark hold kubelet kubeadm >/dev/null
		apt clean
	fi
	if live; then systemctl daemon-reload; fi
	if ! joined; then systemctl -q disable kubelet; fi
}

# What was unpacked, whole: the release's checksum and those of its files.
kata_tree() {
	[ -e /opt/kata/.torikumi-sha256 ] || { no "/opt/kata is not there"; return; }
	[ -z "$KATA_SHA256" ] || [ "$(cat /opt/kata/.torikumi-sha256)" = "$KATA_SHA256" ] || { no "/opt/kata is another release"; return; }
	(cd /opt/kata && sha256sum --check --quiet --strict .torikumi-files) >/dev/null 2>&1 || no "/opt/kata is damaged"
}
check_kata() {
	local file shim
	[ -n "$KATA" ] || { echo "not wanted"; return; }
	kata_tree || return
	[ -z "$(ls -d /opt/.kata.* 2>/dev/null)" ] || { no "/opt/.kata.* is left of an interrupted run"; return; }
	for file in containerd-shim-kata-v2 kata-runtime; do
		[ "$(readlink "/usr/local/bin/$file")" = "/opt/kata/bin/$file" ] || { no "/usr/local/bin/$file is not that of /opt/kata"; return; }
	done
	# From 2 on Kata talks to its guests over vsock and nothing else.
	shim=$(containerd-shim-kata-v2 --version 2>&1) || { no "containerd-shim-kata-v2 does not run: $shim"; return; }
	[[ $shim == *Golang* ]] || { no "containerd-shim-kata-v2 is not the Go runtime: $shim"; return; }
	[[ $shim =~ version:\ ([3-9]|[1-9][0-9]+)\. ]] || { no "need Kata 3 or newer: $shim"; return; }
	written /etc/kata-containers/configuration.toml /usr/local/bin/kata-check || return
	grep -q '^\[hypervisor\.qemu\]' /etc/kata-containers/configuration.toml || { no "the configuration is not QEMU's"; return; }
	while read -r file; do
		[ -e "$file" ] || { no "the configuration names $file, which is not there"; return; }
	done < <(sed -nE 's/^(path|kernel|image|initrd|virtio_fs_daemon) *= *"(.+)"/\2/p' /etc/kata-containers/configuration.toml)
	# The image is made where no nested virtualization is needed.
	if live && [ "$CHECK" ] && [ ! "$SEAL" ]; then kata-check 2>&1; else echo "that it runs: ask kata-check on the node"; fi
}
make_kata() {
	local file
	kata_tree >/dev/null || unpack_kata
	rm -rf /opt/.kata.new /opt/.kata.old
	for file in containerd-shim-kata-v2 kata-runtime; do
		mkdir -p /usr/local/bin
		ln -sfn "/opt/kata/bin/$file" "/usr/local/bin/$file"
	done
	put /etc/kata-containers/configuration.toml /usr/local/bin/kata-check
}
unpack_kata() {
	local tar=$KATA_FROM is new=/opt/.kata.new/opt/kata
	rm -rf /opt/.kata.new
	CLEAN=/opt/.kata.new
	mkdir /opt/.kata.new
	if [[ $KATA_FROM == http* ]]; then
		tar=/opt/.kata.new/tarball
		curl -fsSL --retry 3 -o "$tar" "$KATA_FROM" || fail "kata: cannot download $KATA_FROM"
	fi
	is=$(sha256sum <"$tar")
	[ "${is%% *}" = "$KATA_SHA256" ] || fail "kata: the sha256 of $KATA_FROM is ${is%% *}, not $KATA_SHA256"
	tar --extract --no-same-owner --directory=/opt/.kata.new --file="$tar" || fail "kata: $KATA_FROM does not unpack"
	[ -x "$new/bin/containerd-shim-kata-v2" ] || fail "kata: $KATA_FROM has no opt/kata/bin/containerd-shim-kata-v2"
	(cd "$new" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >/opt/.kata.new/files
	mv /opt/.kata.new/files "$new/.torikumi-files"
	echo "$KATA_SHA256" >"$new/.torikumi-sha256"
	# Renamed, not overwritten: running shims and guests keep their files.
	rm -rf /opt/.kata.old
	if [ -e /opt/kata ]; then mv /opt/kata /opt/.kata.old; fi
	mv "$new" /opt/kata
}

# AppArmor 4, as Ubuntu 24.04 has it, confines runc. A container takes no signal
# from it unless its own profile, which containerd makes, says so: it could not be
# ended. runc of before 1.1.12 lets containers out (CVE-2024-21626); Debian 12 has
# that mended under an older number.
check_runc() {
	local is os
	is=$(runc --version 2>/dev/null | sed -n 's/^runc version //p')
	[[ $is =~ ^1\.([0-9]+)\.([0-9]+) ]] || { no "what version of runc is \"$is\"?"; return; }
	# shellcheck disable=SC1090
	os=$(. "${SYSTEMD_OS_RELEASE:-/etc/os-release}" && echo "${ID:-} ${VERSION_ID:-}")
	[[ $os != ubuntu* ]] || ((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2] >= 1012)) || { no "runc is $is: need 1.1.12 or newer"; return; }
	[ -e /etc/apparmor.d/runc ] && [ ! -e /etc/apparmor.d/disable/runc ] || return 0
	grep -aq 'peer=runc' "$(command -v containerd)" ||
		no "AppArmor confines runc, and this containerd's profile lets it end no container: need 1.7.17, 2.0 or newer, or ln -s /etc/apparmor.d/runc /etc/apparmor.d/disable/"
}

check_containerd() {
	local dump is
	written /etc/containerd/config.toml /etc/crictl.yaml || return
	dump=$(containerd config dump 2>&1) || { no "containerd does not accept its configuration: $dump"; return; }
	[[ $dump == *"SystemdCgroup = true"* ]] || { no "containerd does not use systemd's cgroups"; return; }
	[ -z "$KATA" ] || [[ $dump == *"runtimes.kata]"* ]] || { no "containerd has no runtime handler kata"; return; }
	is=$(containerd_major)
	[ -n "$is" ] || { no "what version is \"$(containerd --version)\"?"; return; }
	[ "$is" -ge 2 ] || [ "$(minor "$(kubelet_version)")" -le 35 ] ||
		{ no "Kubernetes 1.36 and newer need containerd 2: \"$(containerd --version)\""; return; }
	check_runc || return
	[ "$(systemctl is-enabled containerd 2>/dev/null)" = enabled ] || { no "containerd is not enabled"; return; }
	live || { echo "running: not booted"; return; }
	ctr plugins ls | grep -Eq '^io\.containerd\.grpc\.v1 +cri .* ok *$' || no "containerd's CRI plugin does not run"
}
make_containerd() {
	put /etc/containerd/config.toml /etc/crictl.yaml
	systemctl -q enable containerd
	if live; then systemctl restart containerd; fi # running containers stay
}

# Pods are kept from the metadata server by rules that the startup script brings
# with the join, and the kubelet with each boot.
check_metadata() {
	local rules=/etc/torikumi/no-metadata
	[ -e "$rules" ] || { echo "closed: not joined by the startup script"; return; }
	live || { echo "closed: not booted"; return; }
	! nft list chain inet torikumi_metadata forward 2>/dev/null | grep -q 'ip6 daddr .*drop' || return 0
	iptables -w -t mangle -C FORWARD -j TORIKUMI-METADATA 2>/dev/null || { no "pods can reach the metadata server: sh $rules"; return; }
	[ ! -e /proc/net/if_inet6 ] || ip6tables -w -t mangle -C FORWARD -j TORIKUMI-METADATA 2>/dev/null || no "pods can reach the metadata server by IPv6: sh $rules"
}
make_metadata() { sh /etc/torikumi/no-metadata; }

# fenced reports whether anything of the watchdog is there.
fenced() { [ -e /usr/local/bin/torikumi-fence ] || [ -e /etc/systemd/system/torikumi-fence.service ]; }
check_fence() {
	[ -n "$FENCE_AFTER" ] || { ! fenced || no "torikumi-fence is installed, and --fence-after is not given: it is removed"; return; }
	written /usr/local/bin/torikumi-fence /etc/systemd/system/torikumi-fence.service || return
	[ "$(systemctl is-enabled torikumi-fence 2>/dev/null)" = enabled ] || { no "torikumi-fence is not enabled"; return; }
	live || { echo "running: not booted"; return; }
	systemctl -q is-active torikumi-fence || no "torikumi-fence does not run"
}
make_fence() {
	[ -n "$FENCE_AFTER" ] || { remove_fence; return; }
	put /usr/local/bin/torikumi-fence /etc/systemd/system/torikumi-fence.service
	systemctl -q enable torikumi-fence
	if live; then
		systemctl daemon-reload
		systemctl restart torikumi-fence
	fi
}

# The unit goes last: a run that is killed leaves it to the next.
remove_fence() {
	local unit=/etc/systemd/system/torikumi-fence.service
	[ ! -e $unit ] || systemctl -q disable torikumi-fence
	if live; then
		[ ! -e $unit ] || systemctl stop torikumi-fence
		# It has stopped the kubelet, and nobody else would start that again.
		[ ! -e /run/torikumi-fence/stopped ] || systemctl start kubelet
		rm -rf /run/torikumi-fence
	fi
	rm -f /usr/local/bin/torikumi-fence{,.new} $unit{,.new}
	if live; then systemctl daemon-reload; fi
}

# What says who this machine is, and what is private to those who made it.
identity() {
	ls -d /etc/ssh/ssh_host_* /var/lib/systemd/credential.secret /var/lib/cloud/instance* /var/lib/tailscale/* \
		/var/lib/dhcp/*.leases /root/.ssh /home/*/.ssh /root/.*_history /home/*/.*_history \
		/root/.config/gcloud /home/*/.config/gcloud /root/.{kube,docker} /home/*/.{kube,docker} \
		/var/lib/apt/lists/*Packages* /var/lib/apt/lists/*Release 2>/dev/null || true
	[ -L /var/lib/dbus/machine-id ] || ls /var/lib/dbus/machine-id 2>/dev/null || true
}
# Secrets that somebody has put there for a purpose: not ours to remove.
secrets() { ls -d /etc/wireguard/* /etc/kubernetes/*.conf /etc/kubernetes/pki /var/lib/kubelet/pki 2>/dev/null || true; }

check_seal() {
	[ -z "$(secrets)" ] || { no "would be secret, and is in the image: $(secrets | head -n1)"; return; }
	[ -z "$(identity)" ] || { no "is left: $(identity | head -n1)"; return; }
	[ "$(stat -c %s /etc/machine-id)" = 0 ] || no "/etc/machine-id is not empty"
}
make_seal() {
	! joined || fail "seal: this node has joined a cluster, it is no image"
	[ -z "$(secrets)" ] || return 0
	apt clean
	rm -rf /var/lib/apt/lists/* /var/lib/systemd/random-seed
	identity | tr '\n' '\0' | xargs -0 --no-run-if-empty rm -rf
	find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.journal*' \) -delete
	find /var/log -type f -exec truncate -s 0 {} +
	: >/etc/machine-id
}

wrong() { say "$*" >&2; WRONG=1; }
WRONG=''
for arg in "$@"; do
	value=${arg#*=}
	case $arg in
	--kubernetes-version=*) VERSION=${value#v} ;;
	--kubernetes-repository=*) REPOSITORY=$value ;;
	--kubernetes-from=*) FROM=$value ;;
	--kata-from=*) KATA_FROM=$value ;;
	--kata-sha256=*) KATA_SHA256=$value ;;
	--without-kata) KATA='' ;;
	--fence-after=*) FENCE_AFTER=$value ;;
	--fence-servers=*) FENCE_SERVERS=$value ;;
	--fence-witnesses=*) FENCE_WITNESSES=$value ;;
	--api-server-version=*) API_SERVER_VERSION=${value#v} ;;
	--seal) SEAL=1 ;;
	--check) CHECK=1 ;;
	--print=?*) PRINT=$value ;;
	--help | -h) usage; exit 0 ;;
	*) wrong "unknown option $arg, see --help" ;;
	esac
done
[ -z "$FROM" ] || [ -z "$REPOSITORY" ] || wrong "--kubernetes-from and --kubernetes-repository exclude each other"
if [ -n "$VERSION" ] && ! { [[ $VERSION =~ ^1\.[0-9]{2,3}\.[0-9]{1,3}$ ]] && [ "$(minor "$VERSION")" -ge 31 ]; }; then
	# The join is written for kubeadm's v1beta4.
	wrong "--kubernetes-version=$VERSION: must be 1.X.Y and at least 1.31"
fi
for p in kubeadm kubelet; do [ -z "$FROM" ] || [ -x "$FROM/$p" ] || wrong "--kubernetes-from=$FROM: has no program $p"; done
[ -z "$KATA_SHA256" ] || [[ $KATA_SHA256 =~ ^[0-9a-f]{64}$ ]] || wrong "--kata-sha256=$KATA_SHA256: must be 64 digits of 0-9a-f"
[ -z "$FENCE_AFTER" ] || [[ $FENCE_AFTER =~ ^[0-9]{2,5}$ && $FENCE_AFTER -ge 30 ]] || wrong "--fence-after=$FENCE_AFTER: must be seconds, at least 30"
[ -n "$FENCE_AFTER" ] || [ -z "$FENCE_SERVERS$FENCE_WITNESSES" ] || wrong "--fence-servers and --fence-witnesses are for --fence-after"
for p in "servers=$FENCE_SERVERS" "witnesses=$FENCE_WITNESSES"; do
	[[ ${p#*=} =~ ^([][A-Za-z0-9.:-]+:[0-9]+(,|$))*$ ]] || wrong "--fence-$p: must be HOST:PORT, comma-separated"
done
[ -z "$API_SERVER_VERSION" ] || [[ $API_SERVER_VERSION =~ ^1\.[0-9]{2,3}(\.|$) ]] || wrong "--api-server-version=$API_SERVER_VERSION: must be 1.X.Y"
[ -n "$KATA" ] || [ -z "$KATA_FROM$KATA_SHA256" ] || wrong "--without-kata excludes --kata-from and --kata-sha256"
if [ -z "$CHECK$PRINT" ]; then
	[ -n "$VERSION" ] || wrong "--kubernetes-version is missing"
	[ -z "$KATA" ] || [ -n "$KATA_FROM" ] || wrong "--kata-from is missing: name a release of Kata Containers, or --without-kata"
	[ -z "$KATA_FROM" ] || [ -n "$KATA_SHA256" ] || wrong "--kata-sha256 is missing"
	[[ $KATA_FROM =~ ^(https?://.+)?$ || -f $KATA_FROM ]] || wrong "--kata-from=$KATA_FROM: is no file"
	[ -n "$FROM$REPOSITORY" ] || REPOSITORY=https://pkgs.k8s.io/core:/stable:/v${VERSION%.*}/deb
fi
REPOSITORY=${REPOSITORY%/}
[ -z "$FROM" ] || PACKAGES+=(containernetworking-plugins) # which the repository has as a part of the kubelet's
[ -z "$WRONG" ] || exit 2

[ -z "$PRINT" ] || { content "$PRINT" >/dev/null; content "$PRINT"; exit 0; } # of what fails, nothing

# kill -9 leaves what this would remove to the next run.
trap '[ -z "$CLEAN" ] || rm -rf "$CLEAN"' EXIT
trap 'fail "$STEP: line $LINENO ended with $?"' ERR

# One at a time; the programs of a run that was killed may still hold it.
if [ -z "$CHECK" ] && [ "$(id -u)" = 0 ]; then
	mkdir -p /run/lock
	exec 9>/run/lock/prepare-node
	flock --timeout 600 9 || fail "another run goes on"
fi

# Without --fence-after a check does not look at the watchdog, and a run removes it.
FENCE=''
if [ -n "$FENCE_AFTER" ] || { [ -z "$CHECK" ] && fenced; }; then FENCE=fence; fi
FAILED=''
for STEP in system packages upgrades kernel modules sysctl swap kubernetes kata containerd metadata $FENCE ${SEAL:+seal}; do
	if note=$(check_"$STEP" 2>/dev/null); then
		:
	elif [ -n "$CHECK" ]; then
		say "FAIL   $STEP: $note"
		FAILED=1
		continue
	else
		say "       $STEP: $note"
		make_"$STEP"
		note=$(check_"$STEP" 2>/dev/null) || fail "$STEP: $note"
	fi
	say "ok     $STEP${note:+ (not seen: $note)}"
done
[ -z "$FAILED" ] || exit 1
