// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Level says how bad a [Finding] is.
type Level string

// Levels of findings.
const (
	LevelOK   Level = "ok"
	LevelNote Level = "note" // nobody can tell beforehand, and nothing says that something is wrong
	LevelWarn Level = "warn" // pitcrew works, but not as well as it could, or could not be asked
	LevelFail Level = "fail" // pitcrew cannot work like this
)

// seeLog is the remedy where only the controller knows more.
const seeLog = "Try again, then look into the controller's log of that minute."

// Finding is one result of a check, in words that a Jenkins admin can act on.
type Finding struct {
	Level   Level
	Topic   string // "connection", "credentials", "version", "permission", "agents", "jobs"
	Message string
	Remedy  string // what to do; empty if all is well
}

// CheckOptions say what a check looks for. The zero value checks with the default labels and for jobs at the top.
type CheckOptions struct {
	Names    labelexpr.Names
	Folder   string                // of the cleanup jobs; empty for the top
	SkipJobs bool                  // leave out the list of all jobs, which is the expensive part
	MostJobs int                   // look at no more jobs than these; 0 = at all
	Owns     func(job string) bool // reports whether a job, by its full name, is one of ours; nil = none is
	// Gated says that a gate decides where builds start: usage and executors of agents and the labels of jobs do not then.
	Gated bool
}

// Check looks whether pitcrew can work with this controller. It changes nothing: what cannot be found out without a
// trace is reported as such. About 10 requests, and those of [Client.Jobs].
func (c *Client) Check(ctx context.Context, o CheckOptions) []Finding {
	if o.Names == (labelexpr.Names{}) {
		o.Names = labelexpr.Names(hygiene.DefaultNames)
	}
	k := checker{c: c, o: o}
	if !k.connection(ctx) {
		return k.found
	}
	k.credentials(ctx)
	k.version()
	if !k.fleet(ctx) {
		return k.found
	}
	k.permissions(ctx)
	k.agents(ctx)
	if !o.SkipJobs {
		k.jobs(ctx)
	}
	return k.found
}

// checker gathers findings.
type checker struct {
	c       *Client
	o       CheckOptions
	found   []Finding
	system  SystemInfo
	managed []Agent
	normal  bool // a managed agent takes jobs without a label
}

func (k *checker) add(level Level, topic, remedy, format string, args ...any) {
	k.found = append(k.found, Finding{Level: level, Topic: topic, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// connection checks address, start-up and what the controller says about itself.
func (k *checker) connection(ctx context.Context) bool {
	const topic = "connection"
	var err error
	var noSecret *secretError
	var unknownCA x509.UnknownAuthorityError
	k.system, err = k.c.SystemInfo(ctx)
	switch {
	case errors.As(err, &noSecret):
		k.add(LevelFail, "credentials", "Put it where its reference says: a variable into the environment of the process that asks "+
			"(that of the daemon is another one), a file where its user may read it.",
			"the controller was not asked: %v", noSecret)
		return false
	case IsUnauthorized(err):
		k.add(LevelFail, "credentials", "Make a new API token for this user (user page, Security) and give it to pitcrew; tokens can expire.",
			"the controller refuses the credentials: %v", err)
		return false
	case IsForbidden(err):
		k.add(LevelFail, "permission", "Grant the user Overall/Read.", "the user may not read the controller: %v", err)
		return false
	case IsNotFound(err):
		k.add(LevelFail, topic, "Give the address as in the browser, with the path prefix if Jenkins has one.",
			"no Jenkins at %s: %v", k.c.URL(), err)
		return false
	case errors.As(err, &unknownCA):
		k.add(LevelFail, topic, "Name the file with the authority that signed it: tls.ca of the controller in the configuration, --ca of \"pitcrew init\".",
			"the controller's certificate is of an authority that is not known here: %v", err)
		return false
	case err != nil:
		k.add(LevelFail, topic, "Check address, proxy settings and certificates; 503 means that Jenkins is starting, or failed to.",
			"the controller cannot be read: %v", err)
		return false
	case k.system.Session == "":
		k.add(LevelFail, topic, "Let the proxy in front of Jenkins pass the headers X-Jenkins and X-Jenkins-Session.",
			"answers carry no X-Jenkins-Session, so that restarts cannot be noticed")
	default:
		k.add(LevelOK, topic, "", "Jenkins %s answers at %s", k.system.Version, k.c.URL())
	}
	if k.system.QuietingDown {
		k.add(LevelWarn, topic, "Cancel the shutdown (Manage Jenkins) or wait for the restart.",
			"the controller is about to shut down: no build starts, cleanups included")
	}
	if k.system.URL == "" {
		k.add(LevelWarn, topic, "Set the Jenkins URL (Manage Jenkins, System).",
			"the controller does not know its own address: builds get no JENKINS_URL, inbound agents learn a wrong one")
	}
	return true
}

// credentials checks that the controller knows us.
func (k *checker) credentials(ctx context.Context) {
	const topic = "credentials"
	if !k.system.UseSecurity {
		k.add(LevelWarn, topic, "Set up security (Manage Jenkins, Security).",
			"the controller has no security: everybody is administrator, also of pitcrew's jobs, which run on every agent")
		if k.system.UseCrumbs && k.c.auth.token != nil {
			k.add(LevelFail, topic, "Set up security, or give pitcrew neither user nor token.",
				"without security the controller ignores API tokens and demands crumbs, which a client with a token does not send")
		}
		return
	}
	who, err := k.c.WhoAmI(ctx)
	switch {
	case err != nil:
		k.add(LevelWarn, topic, seeLog, "cannot ask the controller whom it takes us for: %v", err)
	case who.Anonymous || !who.Authenticated:
		k.add(LevelFail, topic, "Give pitcrew a user and an API token.", "the controller takes us for %s", who.Name)
	case k.c.auth.password != nil:
		k.add(LevelWarn, topic, "Use an API token: it can be revoked alone, and needs no session and crumb.", "user %s is known by password", who.Name)
	default:
		k.add(LevelOK, topic, "", "user %s is known", who.Name)
	}
}

// fleet finds the managed agents.
func (k *checker) fleet(ctx context.Context) bool {
	f, err := k.c.Fleet(ctx)
	if err != nil {
		k.add(LevelFail, "connection", seeLog, "the agents cannot be listed: %v", err)
		return false
	}
	hidden, total := 0, 0
	for _, a := range f.Agents {
		if !a.BuiltIn {
			total++
		}
		if a.Hidden && !a.BuiltIn {
			hidden++
		}
		if !slices.Contains(a.Labels, k.o.Names.Cleanable) {
			continue
		}
		if a.BuiltIn {
			k.add(LevelWarn, "agents", "Take the label off; clean the controller's own machine by other means.",
				"the built-in node has the label %s, but is never managed", k.o.Names.Cleanable)
			continue
		}
		if n := k.o.Names; a.Name == n.Cleanable || a.Name == n.Dirty || a.Name == n.Clean {
			k.add(LevelWarn, "agents", "Rename it, or spell our labels otherwise (labels).",
				"agent %s is not managed: its name is one of our labels, and Jenkins counts an agent's name among its labels", a.Name)
			continue
		}
		k.managed = append(k.managed, a)
	}
	if len(k.managed) == 0 {
		k.add(LevelWarn, "agents", fmt.Sprintf("Put the label %s on one agent to begin with.", k.o.Names.Cleanable),
			"none of %d agents has the label %s: nothing to manage", total, k.o.Names.Cleanable)
	} else {
		k.add(LevelOK, "agents", "", "%d of %d agents are managed", len(k.managed), total)
	}
	if hidden > 0 {
		k.add(LevelWarn, "permission", "Grant Job/Read on all jobs; a build may also just have been starting, so look twice.",
			"%d busy agents run builds that we may not see: neither those nor their queue items are known", hidden)
	}
	return true
}

// agents checks that nothing but labels decides who may use managed agents.
func (k *checker) agents(ctx context.Context) {
	const topic = "agents"
	if k.o.Gated {
		k.add(LevelOK, topic, "", "the gate keeps builds off managed agents that are not clean, whatever their usage and number of executors")
		return
	}
	nodes, err := k.c.labelNodes(ctx, labelexpr.Atom(k.o.Names.Cleanable).String(), "nodes[nodeName,mode,numExecutors]")
	if err != nil {
		k.add(LevelWarn, topic, seeLog, "mode and executors of the agents cannot be read: %v", err)
		return
	}
	var normal, many []string
	for _, n := range nodes {
		if n.NodeName == "" {
			continue // the built-in node, reported already
		}
		if n.Mode != ModeExclusive {
			normal = append(normal, n.NodeName)
		}
		if n.NumExecutors != 1 {
			many = append(many, n.NodeName)
		}
	}
	k.normal = len(normal) > 0
	if len(normal) > 0 {
		k.add(LevelFail, topic, `Set Usage to "Only build jobs with label expressions matching this node", or let a running daemon do it: "pitcrew exclusive AGENT".`,
			"jobs without a label can start unasked on %s: clean is not granted to them", few(normal))
	}
	if len(many) > 0 {
		k.add(LevelFail, topic, `Set the number of executors to 1, or let a running daemon do it: "pitcrew exclusive AGENT".`,
			"more than one build at a time can start on %s: clean is not granted to them", few(many))
	}
	if len(nodes) > 0 && len(normal)+len(many) == 0 {
		k.add(LevelOK, topic, "", "all managed agents are EXCLUSIVE with one executor")
	}
}

// jobs looks for jobs that a managed agent would take while it is not clean.
func (k *checker) jobs(ctx context.Context) {
	const topic = "jobs"
	var open []string
	total, unknown := 0, 0
	for job, err := range k.c.Jobs(ctx) {
		if err != nil {
			k.add(LevelWarn, topic, seeLog, "the jobs cannot be listed: %v", err)
			return
		}
		if k.o.Owns != nil && k.o.Owns(job.FullName) {
			continue // tied to an agent to clean it, or to lend it
		}
		if total == k.o.MostJobs && total > 0 {
			k.add(LevelNote, topic, `"pitcrew jobs audit" looks at all.`, "there are more jobs than the %d that were looked at", total)
			break
		}
		total++
		switch {
		case job.Disabled:
		case !job.LabelKnown:
			unknown++
		case k.unprotected(job.LabelExpression):
			open = append(open, job.FullName)
		}
	}
	switch {
	case total == 0:
		k.add(LevelWarn, "permission", "Grant Job/Read on all jobs, if there are any: pitcrew must see what runs on its agents.",
			"no job is visible")
	case len(k.managed) == 0:
		k.add(LevelOK, topic, "", "%d jobs are visible; no agent is managed yet that they could be held against", total)
	case len(open) > 0 && k.o.Gated:
		k.add(LevelOK, topic, "", "%d of %d jobs do not ask for %s: the gate has them wait for a managed agent that is", len(open), total, k.o.Names.Clean)
	case len(open) > 0:
		k.add(LevelWarn, topic, fmt.Sprintf("Add %s to their label expressions; \"pitcrew jobs audit\" shows each with the expression to use.", k.o.Names.Clean),
			"%d of %d jobs can start on a managed agent that is not clean: %s", len(open), total, few(open))
	default:
		k.add(LevelOK, topic, "", "no label expression of %d jobs accepts a managed agent that is not clean", total-unknown)
	}
	if unknown > 0 && !k.o.Gated {
		k.add(LevelNote, topic, "Look at the label of their node or agent blocks.",
			"%d jobs, such as Pipelines, choose their agents while they run, which only the queue and the executors show", unknown)
	}
}

func (k *checker) unprotected(expression string) bool {
	if strings.TrimSpace(expression) == "" {
		return k.normal
	}
	e := labelexpr.ParseLenient(expression)
	return slices.ContainsFunc(k.managed, func(a Agent) bool {
		_, open := labelexpr.Unprotected(e, a.Labels, k.o.Names)
		return open
	})
}

// few lists names, the first five of them.
func few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// permissionOf returns the permission that an error names, in any of its causes.
func permissionOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Permission
	}
	return ""
}
