// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// mess runs the candidate after a mess, and the production recipe after the same: what both overlook is no news.
func (b *bench) mess(ctx context.Context, c *report.Case, production *recipe.Program) error {
	known := map[string]bool{}
	if production != nil {
		overlooked, _, err := b.messOnce(ctx, &report.Case{}, production)
		if _, fails := errors.AsType[*fault](err); err != nil && !fails { // where production fails the candidate may be better
			return err
		}
		for _, l := range overlooked {
			known[l.Name] = true
		}
	}
	overlooked, made, err := b.messOnce(ctx, c, b.Candidate)
	c.Made = made
	if err != nil {
		return err
	}
	var news []string
	for _, l := range overlooked {
		if !known[l.Name] {
			c.Left = append(c.Left, l)
			news = append(news, l.Name+" ("+l.Detail+")")
		}
	}
	switch {
	case len(news) > 0 && production == nil:
		return &skip{"the production recipe did not clean this agent, so that nobody knows what it would take away; the candidate left " + some(news)}
	case len(news) > 0:
		return faulty("it left of the mess what the production recipe takes away: %s", some(news))
	}
	return nil
}

// messOnce makes a mess, runs a program, and undoes what that overlooked, whatever came of it.
func (b *bench) messOnce(ctx context.Context, c *report.Case, p *recipe.Program) (overlooked, made []mess.Line, err error) {
	if len(b.MessDirs) == 0 {
		return nil, nil, &skip{"the candidate owns no path in which a mess could be: say --mess-dir"}
	}
	id := strings.ToLower(rand.Text())[:16]
	makers := slices.DeleteFunc(mess.All(), func(m mess.Maker) bool { return len(b.Mess) > 0 && !slices.Contains(b.Mess, m.Kind) })
	program, err := mess.Script(makers, id)
	if err != nil {
		return nil, nil, err
	}
	undo := func(ctx context.Context) ([]mess.Line, error) {
		done, err := b.shell(ctx, "unmess", b.messScript(program, id, "undo"))
		if err != nil {
			return nil, err
		}
		if bytes.Contains(done.log, []byte("\n"+noMessDir)) {
			return nil, nil
		}
		lines, err := mess.Read(done.log, makers)
		if i := slices.IndexFunc(lines, func(l mess.Line) bool { return l.State == mess.Left }); err == nil && i >= 0 {
			err = errors.New(lines[i].String())
		}
		return lines, err
	}
	undone := false
	b.undo.Push("a mess on "+b.offer.Name(), func(ctx context.Context) error {
		if undone {
			return nil
		}
		if b.died() || gone(b.Jenkins.Agent(ctx, b.node)) {
			b.say("the agent is gone: the mess is left to the recipe of its pool")
			return nil
		}
		_, err := undo(ctx)
		return err
	})
	done, err := b.shell(ctx, "mess", b.messScript(program, id, "make"))
	if err == nil && bytes.Contains(done.log, []byte("\n"+noMessDir)) {
		undone = true
		return nil, nil, &skip{"none of " + strings.Join(b.MessDirs, ", ") + " is there to have a mess in"}
	}
	if err == nil {
		made, err = mess.Read(done.log, makers)
	}
	if err == nil {
		err = b.clean(ctx, c, p)
	} else {
		keep(c, done.log)
	}
	if ctx.Err() != nil {
		return nil, made, err // undone on the way back
	}
	lines, failed := undo(ctx)
	undone = failed == nil
	for _, l := range lines {
		if l.State == mess.Removed {
			overlooked = append(overlooked, l)
		}
	}
	if failed != nil {
		return overlooked, made, fmt.Errorf("undo the mess: %w", failed)
	}
	return overlooked, made, err
}

const noMessDir = "no directory for a mess"

// messScript is a build that calls the program of a mess. What it starts must outlive the build: Jenkins ends whatever bears
// its mark (hudson.util.ProcessTree).
func (b *bench) messScript(program []byte, id, verb string) string {
	var dirs []string
	for _, d := range b.MessDirs {
		dirs = append(dirs, recipe.ShellQuote(strings.ReplaceAll(d, spec.AgentWord, b.node)))
	}
	return fmt.Sprintf(`#!/bin/sh
cd "$WORKSPACE/../.." || exit
here=$PWD
for dir in %s; do
	[ ! -d "$dir" ] || [ ! -w "$dir" ] || break
	dir=
done
[ -n "$dir" ] || { echo '%s'; exit 0; }
cat >"$here/mess-%[3]s" <<'PITCREW_MESS_%[3]s'
%[4]sPITCREW_MESS_%[3]s
# What is written down about the mess must not be where it is.
tmp=/tmp
case $here in /tmp/*) tmp=$dir ;; esac
unset HUDSON_COOKIE HUDSON_SERVER_COOKIE JENKINS_SERVER_COOKIE JENKINS_NODE_COOKIE
BUILD_ID=dontKillMe MESS_DIR=$dir MESS_TMP=$tmp MESS_LEDGER=$here/mess-%[3]s.ledger
export BUILD_ID MESS_DIR MESS_TMP MESS_LEDGER
exec sh "$here/mess-%[3]s" %[5]s
`, strings.Join(dirs, " "), noMessDir, id, program, verb)
}
