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
