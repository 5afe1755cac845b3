// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Secret fetches a secret when it is needed, so that it can be rotated, and is never kept.
type Secret func(context.Context) ([]byte, error)

// Key is a private key by reference.
type Key struct {
	Name       string // where it comes from, for messages; two keys of one name are taken for the same key
	PEM        Secret
	Passphrase Secret // nil: the key has none
}

// Host is one computer on the way, or at the end of it.
type Host struct {
	Address     string // name or address, with a port unless it is 22
	User        string
	Keys        []Key    // tried in this order, before those of the agent
	AgentSocket string   // socket of an SSH agent; empty: none
	KnownHosts  []string // known_hosts files, read at each connection
	HostKeys    []string // pinned keys as "ssh-ed25519 AAAA..."; when there are any, KnownHosts is not looked at
}

// Target is a host and the jump hosts that lead there, the nearest first.
type Target struct {
	Host
	Jumps []Host
}

// hops are all hosts of the way, the target last.
func (t Target) hops() []Host { return append(slices.Clip(t.Jumps), t.Host) }

// addr is the address with its port.
func (h Host) addr() string {
	if _, _, err := net.SplitHostPort(h.Address); err == nil {
		return h.Address
	}
	return net.JoinHostPort(strings.Trim(h.Address, "[]"), "22")
}

func (h Host) check() error {
	switch {
	case h.Address == "":
		return &Error{Kind: Misconfigured, Addr: "target", Err: fmt.Errorf("host has no address")}
	case h.User == "":
		return &Error{Kind: Misconfigured, Addr: h.addr(), Err: fmt.Errorf("host has no user")}
	}
	return nil
}

// poolKey is equal for ways that may share a connection.
func poolKey(hops []Host) string {
	var key strings.Builder
	for _, h := range hops {
		fmt.Fprintf(&key, "%q@%q agent %q known %q pinned %q keys", h.User, h.addr(), h.AgentSocket, h.KnownHosts, h.HostKeys)
		for _, k := range h.Keys {
			fmt.Fprintf(&key, " %q", k.Name)
		}
		key.WriteByte('\n')
	}
	return key.String()
}
