// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// accounts makes groups, users and memberships, and limits of logins.
type accounts struct {
	goal spec.Accounts
	here Here
	conf conf
	// fresh is what this run has changed and only new processes of these users have; "" stands for everybody.
	fresh map[string]string
	// lacking is what the agent's own process does not have yet, as the last look saw it.
	lacking string
}

func newAccounts(s spec.Spec, here Here) Step {
	key := func(line string) string {
		fields := strings.Fields(line)
		if len(fields) != 4 || strings.HasPrefix(line, "#") {
			return ""
		}
		return fields[0] + " " + fields[2]
	}
	return &accounts{goal: *s.Accounts, here: here, conf: conf{"/etc/security/limits.d/90-pitcrew.conf", key}, fresh: map[string]string{}}
}

func limitLine(l spec.Limit) string { return fmt.Sprintf("%s - %s %s", l.Who, l.Item, l.Value) }

// Look finds what is missing, in the order in which it can be made.
func (a *accounts) Look(ctx context.Context) ([]Deviation, error) {
	var found []Deviation
	add := func(kind, id, what string) {
		found = append(found, Deviation{Residue: spec.Residue{Kind: kind, ID: id, What: what}})
	}
	for _, name := range a.goal.Groups {
		_, ok, err := a.here.entry(ctx, group, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			add("group", name, "it is not there")
		}
	}
	for _, u := range a.goal.Users {
		_, ok, err := a.here.entry(ctx, passwd, u.Name)
		if err != nil {
			return nil, err
		}
		if !ok {
			add("user", u.Name, "it is not there")
		}
	}
	a.lacking = ""
	for _, m := range a.goal.Members {
		what, err := a.missing(ctx, m)
		if err != nil {
			return nil, err
		}
		if what != "" {
			add("member", m.User+" of "+m.Group, what)
		}
	}
	want := make([]string, len(a.goal.Limits))
	for i, l := range a.goal.Limits {
		want[i] = limitLine(l)
	}
	lacks, err := a.conf.lacks(want)
	for _, line := range lacks {
		add("limit", line, "it is not in "+a.conf.path)
	}
	return found, err
}

// missing says why a user is no member of a group, "" if it is one. It notes if only the agent's process does not know.
func (a *accounts) missing(ctx context.Context, m spec.Member) (string, error) {
	fields, ok, err := a.here.entry(ctx, group, m.Group)
	if err != nil || !ok {
		return "there is no group " + m.Group, err
	}
	user, ok, err := a.here.entry(ctx, passwd, m.User)
	if err != nil || !ok {
		return "there is no user " + m.User, err
	}
	id, err := a.here.tool("id")
	if err != nil {
		return "", err
	}
	text, err := id.run(ctx, "-G", m.User)
	if err != nil {
		return "", err
	}
	if !slices.Contains(strings.Fields(string(text)), fields[2]) {
		return "it is no member", nil
	}
	if uid, groups, ok := agentGroups(); ok && uid == user[2] && !slices.Contains(groups, fields[2]) {
		a.lacking = fmt.Sprintf("the agent's process was started before its user %s was a member of %s", m.User, m.Group)
	}
	return "", nil
}

// agentGroups returns the user and the groups of the agent among our ancestors, as numbers.
func agentGroups() (uid string, groups []string, ok bool) {
	for pid := os.Getppid(); pid > 1; {
		s, there := procfs.Machine.Stat(pid)
		if !there {
			break
		}
		if isAgent(s) {
			text, err := os.ReadFile(procfs.Machine.Path(pid, "status"))
			if err != nil {
				return "", nil, false
			}
			uid, groups = parseIdentity(text)
			return uid, groups, uid != ""
		}
		pid = s.Parent
	}
	return "", nil, false
}

// parseIdentity reads the effective user, and the effective and the supplementary groups, from proc_pid_status(5).
func parseIdentity(text []byte) (uid string, groups []string) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 2 && fields[0] == "Uid:":
			uid = fields[2]
		case len(fields) > 2 && fields[0] == "Gid:":
			groups = append(groups, fields[2])
		case len(fields) > 0 && fields[0] == "Groups:":
			groups = append(groups, fields[1:]...)
		}
	}
	return uid, groups
}

// Reconnect returns what the agent does not see yet.
func (a *accounts) Reconnect() string {
	if a.lacking != "" {
		return a.lacking
	}
	uid, _, known := agentGroups()
	for who, what := range a.fresh {
		if number, err := a.here.number(context.Background(), passwd, who); who == "" || !known || err != nil || strconv.Itoa(number) == uid {
			return what
		}
	}
	return ""
}

// Mend makes what is missing.
func (a *accounts) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		if os.Geteuid() != 0 {
			errs[i] = Final{fmt.Errorf("%s; this needs root", d.What)}
			continue
		}
		switch d.Kind {
		case "group":
			errs[i] = a.either(ctx, []string{"groupadd", d.ID}, []string{"addgroup", d.ID})
		case "user":
			errs[i] = a.addUser(ctx, d.ID)
		case "member":
			errs[i] = a.join(ctx, d.ID)
		case "limit":
			errs[i] = denied(a.conf.set([]string{d.ID}))
			a.fresh[""] = "a limit of logins has changed: " + d.ID
		}
	}
	return errs
}

func (a *accounts) addUser(ctx context.Context, name string) error {
	at := slices.IndexFunc(a.goal.Users, func(u spec.User) bool { return u.Name == name })
	u := a.goal.Users[at]
	var options []string
	if u.Home != "" {
		options = append(options, "-d", u.Home)
	}
	if u.Shell != "" {
		options = append(options, "-s", u.Shell)
	}
	busybox := append([]string{"adduser", "-D"}, options...)
	for i, o := range busybox {
		if o == "-d" {
			busybox[i] = "-h"
		}
	}
	return a.either(ctx, slices.Concat([]string{"useradd", "-m"}, options, []string{u.Name}), append(busybox, u.Name))
}

func (a *accounts) join(ctx context.Context, id string) error {
	at := slices.IndexFunc(a.goal.Members, func(m spec.Member) bool { return m.User+" of "+m.Group == id })
	m := a.goal.Members[at]
	err := a.either(ctx, []string{"usermod", "-a", "-G", m.Group, m.User}, []string{"addgroup", m.User, m.Group})
	if err == nil {
		a.fresh[m.User] = "its user " + id + " is new"
	}
	return err
}

// either runs the first command whose program is here: that of shadow, or that of busybox.
func (a *accounts) either(ctx context.Context, commands ...[]string) error {
	var err error
	for _, c := range commands {
		var t tool
		if t, err = a.here.tool(c[0]); err == nil {
			_, err = t.run(ctx, c[1:]...)
			return err
		}
	}
	return Final{fmt.Errorf("neither %s nor %s is here", commands[0][0], commands[1][0])}
}
