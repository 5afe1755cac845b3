# The report: facts before and after, and JSON that is pure ASCII whatever the bytes.

# json_string prints standard input as a JSON string: UTF-8 where it is that, U+FFFD for each byte where it is not.
json_string() {
	if [ "$json_tool" = awk ]; then
		od -An -v -tu1 | awk "$json_awk"
	else
		printf '"%s"\n' "$(tr -c ' -~' ' ' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')"
	fi
}
# json_of sets j to the same for $1; mostly there is nothing in it to change.
json_of() {
	case $1 in
	*[!\ -~]* | *[\"\\]*)
		find_json
		j=$(printf '%s' "$1" | json_string)
		;;
	*) j="\"$1\"" ;;
	esac
}

json_awk='
function u(n) { if (n > 65535) { n -= 65536; return u(55296 + int(n / 1024)) u(56320 + n % 1024) } return sprintf("\\u%04x", n) }
function flush_bad() { while (got-- > 0) out = out "\\ufffd"; need = got = 0 }
function byte(b) {
  if (need > 0) {
    if (b >= low && b <= high) {
      low = 128; high = 191; code = code * 64 + b - 128; got++
      if (got == need) { out = out u(code); need = got = 0 }
      return
    }
    flush_bad()
  }
  if (b == 10) out = out "\\n"
  else if (b == 9) out = out "\\t"
  else if (b == 34) out = out "\\\""
  else if (b == 92) out = out "\\\\"
  else if (b < 32 || b == 127) out = out u(b)
  else if (b < 127) out = out sprintf("%c", b)
  else if (b >= 194 && b <= 244) {
    got = 1; low = 128; high = 191
    if (b < 224) { need = 2; code = b - 192 }
    else if (b < 240) { need = 3; code = b - 224; if (b == 224) low = 160; if (b == 237) high = 159 }
    else { need = 4; code = b - 240; if (b == 240) low = 144; if (b == 244) high = 143 }
  }
  else out = out "\\ufffd"
}
{ for (i = 1; i <= NF; i++) byte($i + 0) }
END { flush_bad(); print "\"" out "\"" }'

# find_json chooses what json_string works by, once.
find_json() {
	[ -z "$json_tool" ] || return 0
	json_tool=awk
	[ "$(printf 'a"\303\251\377' | json_string 2>/dev/null)" = '"a\"\u00e9\ufffd"' ] || json_tool=sed
}

# disk sets free to the free bytes and inodes of the file system that the agent works on, as JSON. Not every stat can tell.
disk() {
	d_where=${WORKSPACE:-${HOME:-/}}
	[ -d "$d_where" ] || d_where=/
	set -- $(stat -f -c '%a %S %d' "$d_where" 2>/dev/null)
	case $#$* in
	3*[!0-9\ ]* | [!3]*)
		disk_column "$(df -Pk "$d_where" 2>/dev/null)"
		set -- "$d_free" 1024
		disk_column "$(df -Pi "$d_where" 2>/dev/null)"
		set -- "$@" "$d_free"
		;;
	esac
	free="{\"bytesFree\":$(($1 * $2)),\"inodesFree\":$3}"
}
# disk_column sets d_free to the number in the fourth column of the last line of $1, 0 if there is none.
disk_column() {
	set -- ${1##*"$line_end"}
	d_free=${4-}
	case $d_free in '' | *[!0-9]*) d_free=0 ;; esac
}
line_end='
'

# agent_process sets agent to the process of the agent as JSON.
agent_process() {
	agent='{"pid":0,"start":""}'
	find_agent || return 0
	process "$agent_pid"
	json_of "${p_process#* }"
	agent="{\"pid\":$agent_pid,\"start\":$j,\"image\":\"$(image "$agent_pid")\"}"
}

# machine_id sets id to what names this machine.
machine_id() {
	id=
	for m_file in /etc/machine-id /var/lib/dbus/machine-id /sys/class/dmi/id/product_uuid; do
		{ IFS= read -r id <"$m_file"; } 2>/dev/null
		[ -z "$id" ] || return 0
	done
	id=$(sysctl -n kern.hostuuid 2>/dev/null || hostid 2>/dev/null)
}

# report_begin notes the time of day, once: until the end, the clock counts.
report_begin() {
	find_clock
	started=$(date +%s)
	clock
	r_clock=$now
	disk
	before=$free
}

# add_json adds to the report what stands before a value, and the value, $2, as JSON.
add_json() {
	json_of "$2"
	report=$report$1$j
}

# report_end prints the report. The nonce goes out by a builtin of the shell: an argument could be seen by others.
report_end() {
	boot_age
	report="{\"version\":1,\"attempt\":$PITCREW_ATTEMPT"
	add_json ',"agent":' "$PITCREW_AGENT"
	add_json ',"controller":' "$PITCREW_CONTROLLER"
	report="$report,
\"recipe\":\"$recipe\",\"revision\":\"$revision\",\"phases\":\"$PITCREW_PHASES\",\"depth\":\"$PITCREW_DEPTH\",
\"outcome\":\"$outcome\",\"verified\":$verified"
	add_json ',"reason":' "$reason"
	clock
	disk
	report="$report,
\"started\":$started,\"ended\":$((started + now - r_clock)),
\"steps\":[
$report_steps
],
\"disk\":{\"before\":$before,\"after\":$free}"
	machine_id
	add_json ',
"machine":{"id":' "$id"
	boot_id
	add_json ',"bootId":' "$id"
	add_json ',"hostname":' "$hostname"
	report="$report,\"uptime\":$up"
	set -f
	set -- $os
	set +f
	add_json ',"os":' "$*"
	add_json ',"arch":' "$arch"
	add_json ',"user":' "$(id -un)"
	agent_process
	report="$report},
\"agentProcess\":$agent}"
	if [ "$PITCREW_MODE" = hand ]; then
		say "outcome: $outcome${reason:+ ($reason)}"
		return
	fi
	print_line "PITCREW-REPORT-BEGIN $PITCREW_ATTEMPT $nonce"
	print_line "$report"
	digested "$(print_line "$report" | $hasher)"
	print_line "PITCREW-REPORT-END $PITCREW_ATTEMPT $nonce $sum"
}
