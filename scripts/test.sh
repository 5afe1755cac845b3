#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh [go test flags] installs what the tests need and runs the tests of all packages, or of those in PACKAGES, printing each
# package's wall time.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/test-deps.sh
./scripts/build-scrub.sh
gotestsum=$(./scripts/tool.sh gotestsum)

# The race detector writes to whichever test happens to run, and the reports of tests that pass are not shown: so it gets files.
races=$(mktemp -d)
trap 'rm -rf "$races"' EXIT
export GORACE="log_path=$races/report ${GORACE-}"

# -count=1: tests use processes, sshd and a JDK, so a cached result proves nothing.
status=0
# shellcheck disable=SC2086 # PACKAGES is a list
"$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg -- -count=1 -timeout 30m "$@" ${PACKAGES:-./...} || status=$?
find "$races" -type f -exec cat {} +
exit "$status"
