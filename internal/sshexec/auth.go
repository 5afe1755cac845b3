// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// signers loads the host's keys, then asks the agent for its own. The agent's sign through its connection: done closes it.
func (h Host) signers(ctx context.Context) (all []ssh.Signer, done func(), err error) {
	for _, k := range h.Keys {
		signer, err := k.signer(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("load key %s: %w", k.Name, err)
		}
		all = append(all, signer)
	}
	if h.AgentSocket == "" {
		return all, func() {}, nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", h.AgentSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("dial ssh agent: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("list keys of ssh agent: %w", err)
	}
	return append(all, held...), func() { _ = conn.Close() }, nil
}

func (k Key) signer(ctx context.Context) (ssh.Signer, error) {
	pem, err := k.PEM(ctx)
	if err != nil {
		return nil, err
	}
	if k.Passphrase == nil {
		return ssh.ParsePrivateKey(pem)
	}
	passphrase, err := k.Passphrase(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch passphrase: %w", err)
	}
	return ssh.ParsePrivateKeyWithPassphrase(pem, passphrase)
}
