# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# Ends what load.sh has started. Reads, one a line: the process group, the directory, seconds of grace.
# Exit status 0: no process of the group runs any more.

IFS= read -r group && IFS= read -r dir && IFS= read -r grace || exit 125
end_group "$group" "$grace"
status=$?
rm -rf "$dir"
exit "$status"
