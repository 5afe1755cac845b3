# Delivery stage, the whole shell step of a job whose program comes by file parameter: prove that this is the right place,
# take the program out of the file that Jenkins has put into the workspace, prove it, become it. Nothing above
# "pitcrew_deliver" at the very end runs anything.
#
# Whatever runs as the user of the agent may write to the workspace at any time. So the file is read once, into the
# memory of this shell: what was read is proved, and what was proved is run; no second look at a file comes in between.
# A process of the same user can thereby prevent a cleanup (by removing, damaging or blocking the file, or by killing
# this shell), but have nothing else run in its place. What it could still do, it could do to an embedded program too:
# debug this shell, or change the temporary file in which Jenkins hands the shell step over before it is read.

# pitcrew_take prints the file, as far as a program of the right size could reach. dd takes blocks as they come, and the
# size bounds them, should the file have been replaced by one without end.
pitcrew_take() {
	dd if="./$pitcrew_file" bs=65536 count=$((pitcrew_size / 65536 + 1)) 2>/dev/null
}

pitcrew_deliver() {
	pitcrew_begin
	pitcrew_bind
	find_sha256 || pitcrew_die 'no way to compute SHA-256 here: sha256sum, shasum, openssl or busybox is needed to prove the program'
	[ ! -L "./$pitcrew_file" ] && [ -f "./$pitcrew_file" ] ||
		pitcrew_die "the program did not arrive: no file $pitcrew_file in the workspace"
	unset pitcrew_program
	pitcrew_program=$(pitcrew_take)
	rm -f "./$pitcrew_file"
	digested "$(print_line "$pitcrew_program" | $hasher)"
	case $sum in
	"$pitcrew_digest") ;;
	*) pitcrew_die "the file $pitcrew_file in the workspace is not the program that was sent: something on this machine changed it" ;;
	esac
	eval "$pitcrew_program"
}
