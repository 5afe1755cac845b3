# Checksums, by whatever this machine has: the words of hasher print that of standard input, and the like of its name.

# find_sha256 sets hasher to what computes SHA-256; it fails where nothing can.
find_sha256() {
	sum=
	for hasher in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r' 'busybox sha256sum'; do
		digest </dev/null 2>/dev/null
		case $sum in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) return 0 ;;
		esac
	done
	return 1
}

# find_hasher does the same, and makes do with the checksum of POSIX, which shows damage but no forgery.
find_hasher() {
	find_sha256 && return 0
	hasher=cksum
	digest </dev/null 2>/dev/null
	[ "$sum" = 4294967295:0 ]
}

# digest sets sum to the checksum of standard input; digested does so from what hasher has printed. It is empty if that is nothing.
digest() { digested "$($hasher)"; }
digested() {
	set -- $1
	sum=${1-}
	[ "$hasher" != cksum ] || sum=$sum:${2-}
}
