// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// targets returns how the machines of a pool are reached.
func targets(s *config.SSH) func(agent string) (sshexec.Target, error) {
	keys := []sshexec.Key{{Name: s.Key.String(), PEM: secretBytes(s.Key)}}
	if !s.Passphrase.IsZero() {
		keys[0].Passphrase = secretBytes(s.Passphrase)
	}
	host := func(user, address string, port int) sshexec.Host {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(port))
		}
		return sshexec.Host{Address: address, User: user, Keys: keys, KnownHosts: []string{s.KnownHosts}}
	}
	return func(agent string) (sshexec.Target, error) {
		address, ok := s.Hosts[agent]
		if !ok {
			address = strings.ReplaceAll(s.Host, "{agent}", agent)
		}
		if strings.ContainsAny(address, " \t\n/@") {
			return sshexec.Target{}, fmt.Errorf("no machine is called %q; name the agent's address in ssh.hosts", address)
		}
		t := sshexec.Target{Host: host(s.User, address, s.Port)}
		for _, jump := range s.Jump {
			user, address, ok := strings.Cut(jump, "@")
			if !ok {
				user, address = s.User, jump
			}
			t.Jumps = append(t.Jumps, host(user, address, 22))
		}
		return t, nil
	}
}

func secretBytes(s config.Secret) sshexec.Secret {
	return func(ctx context.Context) ([]byte, error) {
		value, err := s.Read(ctx)
		if err != nil {
			return nil, err
		}
		return append([]byte(value), '\n'), nil // a PEM block ends with a line break
	}
}
