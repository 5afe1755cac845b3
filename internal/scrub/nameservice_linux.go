// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// nameService is what tells on this machine which users there are: files, and directory services that only it knows.
type nameService struct {
	here Here
	// known are users that only a directory service knows.
	known []string
}

// localServices are services of nsswitch.conf(5) that answer without another machine.
var localServices = []string{"files", "compat", "db", "systemd", "altfiles", "usrfiles", "extrausers", "mymachines"}

// knows reports whether there is a user of that name or number. What getent says with its exit code 2 is all that
// counts as a no.
func (n nameService) knows(ctx context.Context, user string) (bool, error) {
	_, err := ask(ctx, n.here, "getent", "passwd", "--", user)
	exit, failed := errors.AsType[Exit](err)
	switch {
	case err == nil:
		return true, nil
	case failed && exit.Code == 2 && exit.Text == "":
		return false, nil
	}
	return false, fmt.Errorf("cannot tell whether there is a user %s: %w", user, err)
}

// prove returns why a no of the name service does not prove anything: getent says the same of a user whom nobody knows
// as of a directory service that is out of reach.
func (n nameService) prove(ctx context.Context) error {
	if root, err := n.knows(ctx, "0"); err != nil || !root {
		return errors.Join(errors.New("the name service does not even know user 0"), err)
	}
	services, err := remoteServices()
	if err != nil {
		return fmt.Errorf("cannot tell where users may be: %w", err)
	}
	for _, service := range services {
		if err := n.answers(ctx, service); err != nil {
			return errors.New("users may be in " + service + ", and that it answers is not proved: " + err.Error()) // not an Absent error
		}
	}
	return nil
}

// remoteServices returns the services for users that may ask other machines.
func remoteServices() ([]string, error) {
	text, err := os.ReadFile("/etc/nsswitch.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // then the C library's default is the files
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "passwd:")
		if !ok {
			continue
		}
		for service := range strings.FieldsSeq(strings.NewReplacer("[", " [", "]", "] ").Replace(rest)) {
			if !strings.ContainsAny(service, "[]=!") && !slices.Contains(localServices, service) {
				all = append(all, service)
			}
		}
	}
	users, err := os.ReadFile("/etc/passwd")
	if strings.HasPrefix(string(users), "+") || strings.Contains(string(users), "\n+") {
		all = append(all, "nis") // by way of "compat"
	}
	return all, err
}

// answers proves that a service is in reach: it tells of users whom only it knows, and not from a memory of its own.
func (n nameService) answers(ctx context.Context, service string) error {
	if len(n.known) == 0 {
		return errors.New("name users whom only it knows in \"known\"")
	}
	for _, socket := range []string{"/run/nscd/socket", "/var/run/nscd/socket"} {
		if _, err := os.Stat(socket); err == nil {
			return errors.New("nscd answers from its memory")
		}
	}
	var err error
	switch service {
	case "sss":
		err = n.sssOnline(ctx)
	case "winbind":
		_, err = ask(ctx, n.here, "wbinfo", "--ping-dc")
	}
	if err != nil {
		return err
	}
	for _, user := range n.known {
		if _, err := ask(ctx, n.here, "getent", "-s", service, "passwd", user); err == nil {
			return nil
		}
	}
	return fmt.Errorf("it does not know %s", strings.Join(n.known, ", "))
}

// sssOnline asks the daemon of sss, which remembers users, whether all its domains are in reach.
func (n nameService) sssOnline(ctx context.Context) error {
	domains, err := ask(ctx, n.here, "sssctl", "domain-list")
	if err != nil {
		return err
	}
	for domain := range strings.FieldsSeq(domains) {
		status, err := ask(ctx, n.here, "sssctl", "domain-status", "--online", domain)
		if err != nil {
			return err
		}
		if !strings.Contains(status, "Online status: Online") {
			return fmt.Errorf("sss says of %s: %s", domain, oneLine([]byte(status)))
		}
	}
	return nil
}

// delegated returns the user to whom the numbers around uid are given for containers, "" if to nobody.
func delegated(uid uint32) (string, error) {
	text, err := os.ReadFile("/etc/subuid")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is not there where nothing is given
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 {
			continue
		}
		first, err := strconv.ParseUint(fields[1], 10, 32)
		count, bad := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && bad == nil && uint64(uid) >= first && uint64(uid) < first+count {
			return fields[0], nil
		}
	}
	return "", nil
}
