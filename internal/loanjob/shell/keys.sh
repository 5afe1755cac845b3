# Keys: who may log in as the loan's account is after a loan who might before it. Whoever has the account can let in others,
# without an end to it, and the agent is somebody else's by then.

# with_keys runs the shell text $1 in the account's home, with the rest of its arguments.
with_keys() {
	k_text=$1
	shift
	as_loan "HOME=$(eval "echo ~$loan_user")" sh -c "umask 077
$k_text" keys "$@"
}

# alone succeeds if no other loan lives here that has the account as well. It runs in a shell of its own.
alone() (
	base=${state:-$base/$loan}
	base=${base%/*}
	boot_id
	[ -z "$(granted_besides)" ] || return 1
	for a_dir in "$base"/*; do
		[ "$a_dir" != "$base/$loan" ] && know_loan "$a_dir" && [ "$k_user" = "$user" ] || continue
		! lives "$k_holder" && ! lives "$k_java" || return 1
	done
)

# note_keys writes down in directory $1 who may log in, and what else there is beside that, once for each loan. Where another loan has
# the account as well, whose those are nobody can tell.
note_keys() {
	[ ! -f "$1/beside" ] && alone || return 0
	with_keys "$keys_of" "pitcrew-loan-$loan" >"$1/keys" </dev/null && with_keys "$beside" >"$1/new" </dev/null && mv "$1/new" "$1/beside"
}
keys_of='cd "$HOME" 2>/dev/null || exit 0 # without a home it has no keys
[ ! -d .ssh ] || [ -O .ssh ] || exit 0
[ ! -f .ssh/authorized_keys ] || grep -v " $1\$" .ssh/authorized_keys || [ "$?" -eq 1 ]'
beside='cd "$HOME" 2>/dev/null || exit 0
[ ! -d .ssh ] || [ -O .ssh ] || { echo /; exit 0; } # it cannot let in anybody there
[ ! -d .ssh ] || ls -A .ssh'

# rewrite_keys replaces the account's keys by the same without this loan's, and with line $1 if it is one.
rewrite_keys() { with_keys "$rewrite" "pitcrew-loan-$loan" "$1" 2>&1 </dev/null; }
rewrite='cd "$HOME" || exit 1
[ -d .ssh ] || [ -z "$2" ] || mkdir .ssh || exit 1
[ -d .ssh ] || exit 0
[ ! -L .ssh ] && [ ! -L .ssh/authorized_keys ] || { echo "a link is in the way"; exit 1; }
[ -f .ssh/authorized_keys ] || [ -n "$2" ] || exit 0
new=.ssh/authorized_keys.$1
{
	[ ! -f .ssh/authorized_keys ] || grep -v " $1\$" .ssh/authorized_keys || [ "$?" -eq 1 ] || exit 1
	[ -z "$2" ] || printf "%s\n" "$2"
} >"$new" && mv -f "$new" .ssh/authorized_keys || { rm -f "$new"; exit 1; }'

# restore_keys lets in who might log in when directory $1 was written, and prints what it found changed. Of a loan that
# nothing is written down of, or that is not alone, it takes away the key alone.
restore_keys() {
	if [ -f "$1/beside" ] && alone; then
		with_keys "$restore" "$(cat "$1/beside")" 2>&1 <"$1/keys"
	else
		rewrite_keys ''
	fi
}
restore='cd "$HOME" 2>/dev/null || exit 0
if [ "$1" = / ]; then
	[ ! -d .ssh ] || [ -L .ssh ] || [ -O .ssh ] || exit 0
	echo ".ssh of somebody else was replaced"
	exit 1
fi
[ ! -L .ssh ] || rm -f .ssh || exit 1
[ -d .ssh ] || rm -rf .ssh || exit 1
keys=$(cat; echo .)
keys=${keys%.}
if [ ! -d .ssh ]; then
	[ -n "$keys" ] || exit 0
	mkdir .ssh || exit 1
fi
chmod 700 .ssh || exit 1
for each in .ssh/* .ssh/.[!.]* .ssh/..?*; do
	[ -e "$each" ] || [ -L "$each" ] || continue
	[ "$each" != .ssh/authorized_keys ] || [ -L "$each" ] || [ ! -f "$each" ] || continue
	case "
$1
" in
	*"
${each#.ssh/}
"*) [ "$each" = .ssh/authorized_keys ] || continue ;;
	esac
	rm -rf "$each" || exit 1
	echo "$each was not there"
done
[ ! -f .ssh/authorized_keys ] || [ "$(cat .ssh/authorized_keys; echo .)" != "$keys." ] || exit 0
[ -f .ssh/authorized_keys ] || [ -n "$keys" ] || exit 0
printf "%s" "$keys" >.ssh/new && mv -f .ssh/new .ssh/authorized_keys || exit 1
echo "other keys were let in"'

# put_keys_back does that for a loan whose program has ended, and counts as left what it cannot.
put_keys_back() {
	[ -f "$1/beside" ] || return 0
	k_said=$(restore_keys "$1") || left=$((left + 1))
	[ -z "$k_said" ] || say "keys of $loan_user: $(plain "$k_said")"
}
