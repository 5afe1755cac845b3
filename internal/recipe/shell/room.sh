# Room: a private directory in a place that has room.

# make_room makes a directory of our own in place $1, named after $2, and proves that it has room: its file $4 takes $3 KiB for now.
# It sets made to the directory; if it fails, to nothing, with the reason in why.
make_room() {
	made=$(mktemp -d "$1/$2.XXXXXXXXXX" 2>/dev/null) || {
		made=$1/$2.$$.$(date +%s)
		mkdir -m 700 "$made" 2>/dev/null || { made= why='not writable' && return 1; }
	}
	dd if=/dev/zero of="$made/$4" bs=65536 count=$(($3 / 64 + 1)) 2>/dev/null || give_up_room "no room for $3 KiB"
}

# give_up_room removes the directory again, because of $1, and fails.
give_up_room() {
	rm -rf "$made"
	made= why=$1
	return 1
}
