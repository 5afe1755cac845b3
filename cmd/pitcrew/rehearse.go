// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// rehearsing is what is asked of one rehearsal.
type rehearsing struct {
	*cli
	wish                     rehearsal.Wish
	borrower, against, depth string
	messDirs, mess, ignore   []string
	shared, keep, record     bool
	lasts, ttl, wait, within lasting
	ephemeral                ephemeral
	junit, report            string
	format                   format
}

func (c *cli) rehearseCommand() *cobra.Command {
	var o connection
	r := &rehearsing{cli: c, ephemeral: ephemeral{getenv: c.getenv}}
	cmd := &cobra.Command{
		Use:   "rehearse RECIPE",
		Short: "Try a candidate recipe on borrowed agents first",
		Long: `Try a candidate recipe on borrowed agents before production sees it. A representative
set of agents is borrowed from the daemon for a Jenkins that is there for the rehearsal
alone: of each pool one agent of each system, architecture and profile. There the
candidate runs on the agent as it is, again at once (which must change nothing), after a
mess, and after runs that were stopped and killed in the middle. Its end state is compared
with that of the recipe in production. Then everything is returned, also after Ctrl-C, and
the recipe of its pool proves each agent.

Give the Jenkins as one of --image, --archive, --war or --controller-url; see
docs/rehearsal.md. The token may be that of a borrower.

It ends with 0 if the candidate passed, 3 if it failed, and 1 if it could not be rehearsed.`,
		Example: `  pitcrew rehearse cleanup.yaml --image jenkins/jenkins:lts --bind 10.0.0.5
  pitcrew rehearse cleanup.yaml --pool el9 --war jenkins.war --junit result.xml
  pitcrew rehearse cleanup.yaml --agents 'el9 && kvm' --report result.html \
      --controller-url https://jenkins.test/ --controller-user ci \
      --controller-token-file token`,
		Args: one("recipe"),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error { return r.rehearse(ctx, d, args[0]) }),
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.wish.Pools, "pool", nil, "only agents of these pools (default: all that lend)")
	f.StringVar(&r.wish.Agents, "agents", "", "only agents whose labels satisfy this label expression")
	f.IntVar(&r.wish.Most, "most", 0, "most agents to borrow (default: as many as are representative)")
	f.StringVar(&r.against, "against", againstProduction, "what to compare with: production, which may be named by its revision, or a recipe file")
	f.StringVar(&r.wish.Ref, "ref", "", "ref that the candidate is of, as your CI knows it; for candidates that ask for root")
	f.BoolVar(&r.shared, "shared-account", false, "borrow agents also where the candidate would run as the account of the lender's agent, and could read what that can")
	f.StringVar(&r.borrower, "borrower", "", "who borrows (default: whose token it is)")
	f.Var(&r.lasts, "for", "how long the loans may last (default: as long as the rehearsal does, and the pool allows)")
	f.Var(&r.ttl, "ttl", "end the loans when this command has given no sign of life for so long (default: 2m)")
	f.Var(&r.wait, "wait", "how long to wait for each agent (default: 10m)")
	f.Var(&r.within, "clean-within", "how long a returned agent may take to be clean (default: 15m)")
	r.depth = string(recipe.Standard)
	chooseDepth(cmd, &r.depth)
	f.StringSliceVar(&r.messDirs, "mess-dir", nil, "where on the agents to leave the mess: the first of these directories that is there (default: what the recipe owns)")
	f.StringSliceVar(&r.mess, "mess", nil, "kinds of mess to leave: files, processes, mounts, loop devices, containers, disk, ipc (default: all that can be made)")
	f.StringSliceVar(&r.ignore, "ignore", nil, "differences that do not matter, besides those that the pool names, as KIND:PATTERN, such as file:/var/cache/*")
	f.BoolVar(&r.record, "record", false, "tell the rollouts of the pools what came of it, for those that want a rehearsal first; needs the token of an operator")
	f.StringVar(&r.junit, "junit", "", "write the result as JUnit XML to this file")
	f.StringVar(&r.report, "report", "", "write a report to this file: JSON if its name ends in .json, else HTML")
	r.ephemeral.flags(cmd)
	sets(cmd, "advertise-url", "body.to.url")
	sets(cmd, "controller-url", "body.to.url")
	sets(cmd, "controller-ca", "body.to.ca")
	f.BoolVar(&r.keep, "keep", false, "leave the Jenkins up with its jobs until Ctrl-C, for you to look at")
	r.format.flag(cmd, formatText, formatJSON)
	o.flags(cmd, usualTimeout)
	refuseEmpty(cmd)
	return cmd
}

const againstProduction = "production"

// rehearse is the whole command. Its order is that of a rehearsal: what can be wrong without a daemon comes first.
func (r *rehearsing) rehearse(ctx context.Context, d *daemon, file string) (err error) {
	candidate, err := recipe.Load(file)
	if err != nil {
		return exit(exitUsage, err)
	}
	program, err := candidate.Compile()
	if err != nil {
		return exit(exitUsage, err)
	}
	ignore, err := state.ParseIgnore(r.ignore)
	if err != nil {
		return usage("--ignore: %w", err)
	}
	kinds, err := messKinds(r.mess)
	if err != nil {
		return err
	}
	if err := r.checkWish(); err != nil {
		return err
	}
	desk := &deskOf{daemon: d}
	against, err := r.comparison(desk)
	if err != nil {
		return err
	}
	if err := r.ephemeral.check(); err != nil {
		return err
	}
	who, err := d.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if err := r.checkRole(who); err != nil {
		return err
	}
	if err := r.checkDesk(ctx, desk, who); err != nil {
		return err
	}
	if err := r.removeOld(); err != nil {
		return err
	}
	// A terminal that is closed, or a reader that went away, is no reason to leave agents on loan.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	defer outliveReaders()()
	defer holdOut()()
	p := r.newRehearsalProgress()
	undo := &rehearsal.Undo{}
	defer func() { err = errors.Join(err, r.takeAllBack(ctx, undo, p)) }()
	controller, jenkins, err := r.ephemeral.start(ctx, undo, p.say)
	if err != nil {
		return r.tellOfNone(report.Report{StartedAt: p.began, Recipe: report.Recipe{Name: program.Recipe, Revision: program.Revision}}, err)
	}
	r.wish.Isolated, r.wish.Root = !r.shared, candidate.RootSteps()
	one := &rehearsal.Rehearsal{
		Desk: desk, Jenkins: jenkins, AgentURL: controller.AdvertiseURL(), AgentCA: r.ephemeral.authorities,
		Candidate: program, Owned: candidate.Owned.Paths, Against: against,
		Ignore: ignore, Wish: r.wish, Borrower: r.borrower, For: r.lasts.Std(), TTL: r.ttl.Std(), Wait: r.wait.Std(),
		Depth: recipe.Depth(r.depth), MessDirs: r.messDirs, Mess: kinds, ReturnWithin: r.within.Std(), Began: p.began, Keep: r.keep, Say: p.say, Undo: undo,
	}
	if r.ephemeral.url == "" {
		one.Controller = controller
	}
	found, err := one.Run(ctx)
	p.clear()
	if err != nil && len(found.Agents) == 0 {
		return r.tellOfNone(*found, err)
	}
	found.Controller = r.ephemeral.kind()
	told := r.tell(*found)
	if r.record && ctx.Err() == nil {
		told = errors.Join(told, r.tellRollouts(ctx, d, *found, p.say))
	}
	if r.keep && ctx.Err() == nil {
		r.ephemeral.hold(ctx, controller, p.say)
	}
	if ctx.Err() != nil && err != nil {
		return errors.Join(told, err)
	}
	return ending(found.Verdict, told)
}

// ending is how a rehearsal ends that came to a verdict, and could not tell it everywhere if told says so: that a candidate failed is the worse.
func ending(verdict report.Verdict, told error) error {
	switch {
	case verdict == report.Failed && told != nil:
		return exit(exitFound, told)
	case verdict == report.Failed:
		return notWell
	case verdict != report.Passed && told == nil:
		return errors.New("the candidate could not be rehearsed to the end")
	}
	return told
}

// checkWish looks at what is wished before anything is begun: a rehearsal takes long, and its result must have somewhere to go.
func (r *rehearsing) checkWish() error {
	if r.wish.Agents != "" {
		if _, err := labelexpr.Parse(r.wish.Agents); err != nil {
			return usage("--agents: %w", err)
		}
	}
	if ttl := r.ttl.Std(); ttl > 0 && ttl < shortestTTL {
		return usage("--ttl %s: want %s or more: signs of life come every sixth of it, and each second at most", ttl, shortestTTL)
	}
	if r.wish.Most < 0 {
		return usage("--most %d: want a number of agents, or 0 for as many as are representative", r.wish.Most)
	}
	for _, out := range []struct{ flag, file string }{{"junit", r.junit}, {"report", r.report}} {
		if err := writable(out.file); err != nil {
			return usage("--%s: %w", out.flag, err)
		}
	}
	return nil
}

// shortestTTL leaves some signs of life to be lost.
const shortestTTL = 10 * time.Second

// checkRole looks at what the token may do before a Jenkins is started: the result is told to the rollouts at the very end.
func (r *rehearsing) checkRole(who api.Identity) error {
	is := fmt.Sprintf("the token %s has the role %s", who.Name, who.Role)
	switch role := who.Role; {
	case role == "viewer":
		return exit(exitDenied, fmt.Errorf("a rehearsal borrows agents, which needs a token of the borrower, or the role operator; %s", is))
	case role == "borrower" && r.record:
		return exit(exitDenied, fmt.Errorf("--record needs the token of an operator; %s", is))
	case role == "borrower" && r.borrower != "" && r.borrower != who.Borrower:
		return exit(exitDenied, fmt.Errorf("--borrower %s: the token %s is that of %s", r.borrower, who.Name, who.Borrower))
	case role != "borrower" && r.borrower == "":
		return usage("say with --borrower who borrows: %s, and is that of no borrower", is)
	}
	return nil
}

// checkDesk asks the daemon for what it would refuse after a Jenkins was started: loans of a borrower, and the recipe of a pool.
func (r *rehearsing) checkDesk(ctx context.Context, desk *deskOf, who api.Identity) error {
	if _, err := desk.LoanOffers(ctx, cmp.Or(r.borrower, who.Borrower)); err != nil {
		return err
	}
	for _, pool := range r.wish.Pools {
		_, err := desk.Program(ctx, pool)
		if client.IsNotFound(err) {
			return usage("--pool %s: %w", pool, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writable reports why a file cannot be written that is to be written later; "" is none. It leaves the file as it was.
func writable(file string) error {
	if file == "" {
		return nil
	}
	found, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(file))
	case err != nil:
		return err
	case !found.IsDir() && !found.Mode().IsRegular():
		return nil // a pipe, say: to open it may be to wait for its reader
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeOld removes the reports of before: where this rehearsal comes to none, nobody is to take them for its own.
func (r *rehearsing) removeOld() error {
	for _, file := range []string{r.junit, r.report} {
		if found, err := os.Stat(file); err == nil && found.Mode().IsRegular() {
			if err := os.Truncate(file, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// comparison is what --against names; nil for what is in production.
func (r *rehearsing) comparison(desk *deskOf) (*recipe.Program, error) {
	if r.against == againstProduction {
		return nil, nil //nolint:nilnil // the desk knows
	}
	if _, err := os.Stat(r.against); err != nil {
		if strings.Trim(r.against, "0123456789abcdef") != "" || len(r.against) < shortestRevision {
			return nil, usage("--against %s: want production, a revision of at least %d digits, or a recipe file", r.against, shortestRevision)
		}
		desk.revision = r.against
		return nil, nil //nolint:nilnil // the desk knows, and holds that it is this one
	}
	other, err := recipe.Load(r.against)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return other.Compile()
}

// shortestRevision is how many digits name a revision.
const shortestRevision = 7

// takeAllBack undoes what is left, whether this was interrupted or not. Another Ctrl-C ends it, and says what is left where.
func (r *rehearsing) takeAllBack(ctx context.Context, undo *rehearsal.Undo, p *rehearsalProgress) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	return takeBackUnless(ctx, signals, undo, p)
}

// oneSignal is how long a signal that comes again is the same one: timeout(1) sends it to its child, and to the group of its child.
const oneSignal = time.Second

// takeBackUnless undoes what is left unless a second signal comes; that ctx has ended was the first.
func takeBackUnless(ctx context.Context, signals <-chan os.Signal, undo *rehearsal.Undo, p *rehearsalProgress) error {
	var interrupted time.Time
	interrupt := func() {
		interrupted = time.Now()
		p.say("interrupted: returns everything; another Ctrl-C leaves it as it is")
	}
	if ctx.Err() != nil {
		interrupt()
	}
	done := make(chan error, 1)
	go func() { done <- undo.Run(ctx) }()
	for {
		select {
		case err := <-done:
			p.clear()
			if err != nil && ctx.Err() != nil {
				return exit(exitInterrupted, err)
			}
			return err
		case <-signals:
		}
		switch {
		case interrupted.IsZero():
			interrupt()
		case time.Since(interrupted) >= oneSignal:
			p.clear()
			return exit(exitInterrupted, fmt.Errorf("interrupted again; left behind:\n  %s\nLoans end by themselves when nobody renews them, and the next rehearsal removes what is left of its own Jenkins",
				strings.Join(undo.Left(), "\n  ")))
		}
	}
}

// rehearsalProgress tells how a rehearsal goes: what happened in lines, what goes on in one that changes in place on a terminal.
type rehearsalProgress struct {
	*progress
	mu    sync.Mutex // guards the terminal: agents are rehearsed on side by side
	began time.Time
	now   func() time.Time
	out   io.Writer
}

func (r *rehearsing) newRehearsalProgress() *rehearsalProgress {
	return &rehearsalProgress{progress: r.newProgress(), began: r.now(), now: r.now, out: r.err}
}

func (p *rehearsalProgress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line = strings.Map(func(c rune) rune { // what a machine said may be in it
		if !unicode.IsPrint(c) && c != '\n' {
			return unicode.ReplacementChar
		}
		return c
	}, fmt.Sprintf("%6s  %s", p.now().Sub(p.began).Round(time.Second), line))
	if p.progress.out != nil && strings.HasSuffix(line, ": begins") {
		p.show(strings.TrimSuffix(line, ": begins") + " ...")
		return
	}
	p.progress.clear()
	fmt.Fprintln(p.out, line)
}

func (p *rehearsalProgress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress.clear()
}
