#!/bin/sh
# Opens the port in the firewall, now and for the next start, if it runs.
set -eu

firewall-cmd --state >/dev/null 2>&1 || exit 0
for lasting in '' --permanent; do
	# shellcheck disable=SC2086 # nothing, or one word
	firewall-cmd $lasting --query-port="$PORT" >/dev/null || firewall-cmd $lasting --add-port="$PORT"
	# shellcheck disable=SC2086
	firewall-cmd $lasting --query-port="$PORT" >/dev/null
done
