# Checksums, by whatever this machine has.

# find_hasher sets hasher to the function that prints the checksum of standard input: SHA-256, or else that of POSIX.
find_hasher() {
	for hasher in of_sha256sum of_shasum of_openssl of_cksum; do
		case $("$hasher" </dev/null 2>/dev/null) in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 | 4294967295:0) return 0 ;;
		esac
	done
	return 1
}
of_sha256sum() { sha256sum | first_word; }
of_shasum() { shasum -a 256 | first_word; }
of_openssl() { openssl dgst -sha256 -r | first_word; }
of_cksum() { cksum | { read -r h_crc h_size && echo "$h_crc:$h_size"; }; }
first_word() { read -r h_word _ && echo "$h_word"; }
