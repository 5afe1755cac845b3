#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tool.sh NAME prints the path of a pinned development tool, building it first when this machine does not have it.
#
# Tools live outside the checkout, one directory per version, so that a fresh clone finds them built.
set -euo pipefail

case "${1-}" in
golangci-lint) module=github.com/golangci/golangci-lint/v2/cmd/golangci-lint version=v2.15.0 ;;
gotestsum) module=gotest.tools/gotestsum version=v1.13.0 ;;
*)
	echo "usage: tool.sh golangci-lint|gotestsum" >&2
	exit 2
	;;
esac

dir=${PITCREW_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/pitcrew-tools}/$1-$version
if [ ! -x "$dir/$1" ]; then
	mkdir -p "$dir"
	build=$(mktemp -d "$dir/build.XXXXXX")
	trap 'rm -rf "$build"' EXIT
	# From outside the module: a tool's dependencies are none of ours. The rename makes two builds at once harmless.
	(cd "$build" && GOBIN=$build GOFLAGS=-buildvcs=false go install "$module@$version") >&2
	mv -f "$build/$1" "$dir/$1"
fi
echo "$dir/$1"
