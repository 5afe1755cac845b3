#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build-scrub.sh [--force] makes the binaries of scrub that recipe programs carry, for every platform, and prints their sizes. The
# same source gives the same bytes. What is newer than its source is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

out=internal/scrub/carried/binaries
newest=$(find cmd/scrub internal/scrub go.mod -name '*.go' ! -name '*_test.go' -newer "$out/made" 2>/dev/null | head -n 1) || true
if [ "${1-}" != --force ] && [ -e "$out/made" ] && [ -z "$newest" ] && [ "$out/made" -nt go.mod ]; then
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for platform in linux/amd64 linux/arm64 linux/ppc64le linux/s390x; do
	file=scrub-${platform/\//-}
	CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} GOFLAGS='' \
		go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$work/$file" ./cmd/scrub
	gzip -9n <"$work/$file" >"$work/$file.gz"
	printf 'scrub %-14s %8d bytes, %8d packed\n' "$platform" "$(wc -c <"$work/$file")" "$(wc -c <"$work/$file.gz")"
	mv "$work/$file.gz" "$out/"
done
touch "$out/made"
