#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh [go test flags] installs what the tests need and runs all packages' tests, printing each package's wall time.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/test-deps.sh
gotestsum=$(./scripts/tool.sh gotestsum)

# -count=1: tests use processes, sshd and a JDK, so a cached result proves nothing.
exec "$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg -- -count=1 -timeout 20m "$@" ./...
