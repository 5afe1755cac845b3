#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kind-cost.sh prints what each kind of step costs in scrub for linux/amd64: how much smaller the program is, plain and packed, when it is
# built without that kind. What several kinds share counts for none of them, so the sum is less than the whole.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

measure() { # overlay
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOFLAGS='' go build -overlay "$1" -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$work/scrub" ./cmd/scrub
	gzip -9n <"$work/scrub" >"$work/scrub.gz"
	size=$(wc -c <"$work/scrub") packed=$(wc -c <"$work/scrub.gz")
}

echo '{}' >"$work/none"
measure "$work/none"
whole=$size whole_packed=$packed
printf '%-12s %9d bytes, %9d packed\n' scrub "$whole" "$whole_packed"
for file in internal/scrub/kinds.go internal/scrub/kinds_linux.go; do
	sed -n 's/^\tspec\.Kind\([A-Za-z]*\): .*/\1/p' "$file" | while read -r kind; do
		sed "/^\tspec\.Kind$kind:/d" "$file" >"$work/kinds.go"
		printf '{"Replace":{"%s":"%s"}}' "$PWD/$file" "$work/kinds.go" >"$work/overlay"
		measure "$work/overlay"
		printf '%-12s %9d bytes, %9d packed\n' "${kind,,}" $((whole - size)) $((whole_packed - packed))
	done
done
