#!/bin/sh
# Runs a dedicated server that was exported from Unreal for Linux and is mounted
# at UNREAL_DIR, possibly read-only. docs/images.md lists the variables.
#
# It stays as the parent of the server's script instead of becoming it: the
# script that Unreal writes waits for the server and passes no signal on.
set -u
export LC_ALL=C

name=unreal-server
wrong=0

complain() {
	printf '%s: %s\n' "$name" "$1" >&2
	wrong=1
}

# invalid VARIABLE RULE VALUE: a value with control characters could fake lines
# of a log, and is not shown.
invalid() {
	case $3 in
	*[[:cntrl:]]*) complain "$1: $2, got control characters" ;;
	*) complain "$1: $2, got \"$3\"" ;;
	esac
}

# check_number VARIABLE VALUE MOST
check_number() {
	case $2 in
	'' | *[!0-9]* | ??????* | 0*) ;;
	*) [ "$2" -gt "$3" ] || return 0 ;;
	esac
	invalid "$1" "must be a whole number from 1 to $3" "$2"
}

# Unreal joins its arguments to one line and takes it apart again by spaces and
# quotes. What goes there has neither.
check_path() {
	case $2 in
	/*) ;;
	*) invalid "$1" 'must begin with /' "$2" && return ;;
	esac
	case $2 in
	*[!A-Za-z0-9/._-]*) invalid "$1" 'must have letters, digits and /._- only' "$2" ;;
	esac
}

check_settings() {
	check_path UNREAL_DATA "$data"
	check_number UNREAL_PORT "$port" 65535
	[ -z "$query_port" ] || check_number UNREAL_QUERY_PORT "$query_port" 65535
	[ -z "$query_port" ] || [ "$query_port" != "$port" ] || invalid UNREAL_QUERY_PORT 'must not be UNREAL_PORT' "$query_port"
	[ -z "$players" ] || check_number UNREAL_MAX_PLAYERS "$players" 65535
	case $map in
	-* | *[!A-Za-z0-9/._?=:+-]*) invalid UNREAL_MAP 'must have letters, digits and /._?=:+- only, and not begin with -' "$map" ;;
	esac
	case $server_name in
	*[[:cntrl:]]*) invalid UNREAL_NAME 'must have no control characters' "$server_name" ;;
	esac
	[ "${#server_name}" -le 255 ] || complain 'UNREAL_NAME: must have at most 255 bytes'
	case $section in
	'' | *[!A-Za-z0-9/._-]*) invalid UNREAL_NAME_SECTION 'must have letters, digits and /._- only' "$section" ;;
	esac
	case $name_file in
	*[!A-Za-z0-9_-]*.ini | .ini) invalid UNREAL_NAME_FILE 'must have letters, digits, _ and - before .ini' "$name_file" ;;
	*.ini) ;;
	*) invalid UNREAL_NAME_FILE 'must end with .ini' "$name_file" ;;
	esac
}

check_user() {
	[ "$(id -u)" -ne 0 ] || complain 'must not run as root: Unreal refuses it'
}

# find_script sets script.
find_script() {
	script=
	if [ ! -d "$dir" ] || [ ! -r "$dir" ] || [ ! -x "$dir" ]; then
		invalid UNREAL_DIR 'must be a folder that can be read: mount the exported server there' "$dir"
		return
	fi
	case $chosen in
	'') only_script ;;
	*/* | . | ..) invalid UNREAL_SCRIPT 'must be the name of a file in UNREAL_DIR, without /' "$chosen" ;;
	*) script=$dir/$chosen ;;
	esac
	[ -n "$script" ] || return
	if [ ! -f "$script" ]; then
		invalid UNREAL_SCRIPT 'must be a file in UNREAL_DIR' "$chosen"
	elif [ ! -r "$script" ] || [ ! -x "$script" ]; then
		complain "$script is not executable: chmod +x, or mount it with file mode 0755"
	fi
}

only_script() {
	found=0
	for file in "$dir"/*.sh; do
		[ -f "$file" ] || continue
		found=$((found + 1))
		script=$file
	done
	[ "$found" -eq 1 ] && return
	script=
	if [ "$found" -eq 0 ]; then
		complain "UNREAL_DIR: $dir has no *.sh: it must be what Unreal exports for a Linux server"
	else
		complain "UNREAL_SCRIPT: must name the server's script, as $dir has $found files *.sh"
	fi
}

# check_programs looks for what the script starts.
check_programs() {
	[ -d "$dir" ] || return
	there=
	for file in "$dir"/*/Binaries/Linux/*; do
		[ -f "$file" ] || continue
		there=$file
		[ ! -x "$file" ] || return 0
	done
	if [ -z "$there" ]; then
		complain "UNREAL_DIR: $dir has no PROJECT/Binaries/Linux: it must be what Unreal exports for a Linux server"
	else
		complain "nothing in ${there%/*} is executable: chmod +x, or mount it with file mode 0755"
	fi
}

check_data() {
	if ! mkdir -p "$data/Saved/Config/LinuxServer" 2>/dev/null || ! [ -w "$data/Saved/Config/LinuxServer" ]; then
		invalid UNREAL_DATA 'must be a folder that can be written, for Saved/ and logs' "$data"
	fi
}

# set_ini FILE SECTION KEY VALUE sets a key and keeps what else is in the file.
# awk gets the values from its environment, and takes them as they are.
set_ini() {
	[ -f "$1" ] || true >"$1" || return
	INI_SECTION="[$2]" INI_KEY=$3 INI_VALUE=$4 awk '
		function put() { if (!done) print ENVIRON["INI_KEY"] "=" ENVIRON["INI_VALUE"]; done = 1 }
		{ bare = $0; sub(/\r$/, "", bare) }
		bare ~ /^\[/ { if (inside) put(); inside = (bare == ENVIRON["INI_SECTION"]) }
		inside && index(bare, ENVIRON["INI_KEY"] "=") == 1 { put(); next }
		{ print }
		END { if (!done) { if (!inside) print ENVIRON["INI_SECTION"]; put() } }
	' "$1" >"$1.new" && mv "$1.new" "$1"
}

# quote sets quoted to a string as Unreal reads it from a file.
quote() {
	rest=$1
	quoted=
	while [ -n "$rest" ]; do
		char=${rest%"${rest#?}"}
		rest=${rest#?}
		case $char in
		'"' | "\\") quoted=$quoted\\$char ;;
		*) quoted=$quoted$char ;;
		esac
	done
	quoted=\"$quoted\"
}

write_settings() {
	config=$data/Saved/Config/LinuxServer
	if [ -n "$server_name" ]; then
		quote "$server_name"
		set_ini "$config/$name_file" "$section" ServerName "$quoted" || return
	fi
	if [ -n "$players" ]; then
		set_ini "$config/Game.ini" /Script/Engine.GameSession MaxPlayers "$players" || return
	fi
}

# pass SIGNAL PID sends a signal to a process, or, if that is a shell that waits
# for others, to those.
pass() {
	case $(readlink "/proc/$2/exe") in
	*/sh | */dash | */bash | */busybox) ;;
	*)
		kill -s "$1" "$2" 2>/dev/null
		return
		;;
	esac
	waits=
	for child in $(children "$2"); do
		waits=yes
		(pass "$1" "$child")
	done
	[ -n "$waits" ] || kill -s "$1" "$2" 2>/dev/null
}

# children PID: the fourth field of stat is the parent, and the second, in
# parentheses, may have anything in it.
children() {
	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		after=${line##*) }
		after=${after#* }
		[ "${after%% *}" != "$1" ] || printf '%s\n' "${line%% *}"
	done
}

# A trap may be interrupted by another: in a subshell, neither changes the
# variables of the other.
# shellcheck disable=SC2317 # traps call it
forward() {
	[ "$signalled" = TERM ] || signalled=$1 # the end counts more than what else came
	[ -z "$server" ] || (pass "$1" "$server")
}

# run starts the script and ends as it does. SIGINT becomes SIGTERM: what a
# shell starts in the background ignores SIGINT.
run() {
	server=
	signalled=
	trap 'forward TERM' TERM INT
	trap 'forward HUP' HUP
	trap 'forward USR1' USR1
	trap 'forward USR2' USR2
	"$script" "$@" &
	server=$!
	[ -z "$signalled" ] || (pass "$signalled" "$server") # it came too early to pass it on
	# A signal interrupts wait, and in dash one that came during a trap interrupts
	# the next wait as well: only a process that is gone has ended.
	while :; do
		wait "$server"
		code=$?
		if [ "$code" -eq 127 ] || ! kill -s 0 "$server" 2>/dev/null; then
			break
		fi
	done
	# If the last wait was interrupted, this is how the server ended. 127: the
	# shell has forgotten it, as it has told it before.
	wait "$server" 2>/dev/null
	ended=$?
	[ "$ended" -eq 127 ] || code=$ended
	exit "$code"
}

dir=${UNREAL_DIR-/game}
chosen=${UNREAL_SCRIPT-}
data=${UNREAL_DATA-/data}
port=${UNREAL_PORT-${PORT-7777}}
query_port=${UNREAL_QUERY_PORT-}
players=${UNREAL_MAX_PLAYERS-}
map=${UNREAL_MAP-}
server_name=${UNREAL_NAME-}
name_file=${UNREAL_NAME_FILE-Game.ini}
section=${UNREAL_NAME_SECTION-/Script/Engine.GameSession}

check_user
check_settings
find_script
check_programs
[ "$wrong" -ne 0 ] || check_data
[ "$wrong" -eq 0 ] || exit 2
if ! write_settings; then
	complain "UNREAL_DATA: cannot write below $config"
	exit 1
fi

export HOME="$data"
cd "$dir" || exit 1
set -- "-userdir=$data" "-Port=$port" ${query_port:+"-QueryPort=$query_port"} -log "$@"
[ -z "$map" ] || set -- "$map" "$@"
run "$@"
