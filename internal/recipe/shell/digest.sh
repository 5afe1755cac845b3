# Checksums, by whatever this machine has.

# find_sha256 sets hasher to the function that prints the SHA-256 of standard input; it fails where nothing can.
find_sha256() {
	for hasher in of_sha256sum of_shasum of_openssl; do
		case $("$hasher" </dev/null 2>/dev/null) in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) return 0 ;;
		esac
	done
	return 1
}

# find_hasher does the same, and makes do with the checksum of POSIX, which shows damage but no forgery.
find_hasher() {
	find_sha256 && return 0
	hasher=of_cksum
	[ "$("$hasher" </dev/null 2>/dev/null)" = 4294967295:0 ]
}
of_sha256sum() { h_line=$(sha256sum) && echo "${h_line%% *}"; }
of_shasum() { h_line=$(shasum -a 256) && echo "${h_line%% *}"; }
of_openssl() { h_line=$(openssl dgst -sha256 -r) && echo "${h_line%% *}"; }
of_cksum() { cksum | { read -r h_crc h_size && echo "$h_crc:$h_size"; }; }
