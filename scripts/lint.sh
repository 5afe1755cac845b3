#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh runs every check that needs no test to run; it reports all of them before it fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

golangci_lint=$(./scripts/tool.sh golangci-lint) || exit
failed=0
check() { # what, command...
	local what=$1
	shift
	if ! "$@"; then
		echo "lint: $what: not clean" >&2
		failed=1
	fi
}
check "formatting (make fmt mends it)" "$golangci_lint" fmt --diff
check "go vet" go vet ./...
check "golangci-lint" "$golangci_lint" run --timeout 20m
check "go.mod (go mod tidy mends it)" go mod tidy -diff
if command -v shellcheck >/dev/null; then
	check "shellcheck" shellcheck .ci/run scripts/*.sh internal/sshexec/*.sh
fi
exit "$failed"
