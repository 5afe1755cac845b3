// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

func (k *checker) controller(c *Controller, path string) {
	if c.URL != "" {
		k.checkControllerURL(c, path)
	}
	switch {
	case c.Token.IsZero() && c.Password.IsZero() && !k.broken(path+".token") && !k.broken(path+".password"):
		k.problem(path, `"token" is missing`)
	case !c.Token.IsZero() && !c.Password.IsZero():
		k.problem(path+".password", "there is a token already: use only one of the two")
	}
	if t := c.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		k.problem(path+".tls", "cert and key go together")
	}
	k.atLeast(path+".poll", c.Poll, 100*time.Millisecond)
	k.atLeast(path+".requests.timeout", c.Requests.Timeout, 100*time.Millisecond)
	k.atLeast(path+".buildFeedEvery", c.BuildFeedEvery, time.Second)
	k.jobs(&c.Jobs, path+".jobs")
}

func (k *checker) checkControllerURL(c *Controller, path string) {
	err := checkURL(c.URL)
	if err == nil && strings.Contains(c.URL, "?") {
		err = errors.New("the root address of Jenkins holds no query")
	}
	if err != nil {
		k.dec.src.mask(k.at(path + ".url")) // a password, perhaps
		k.must(path+".url", err)
		return
	}
	if rest, plain := strings.CutPrefix(c.URL, "http://"); plain && !isLoopback(hostOf(rest)) {
		k.warn(path+".url", "without https the token can be read on the way")
	}
}

// hostOf returns the host name at the start of an address without scheme.
func hostOf(rest string) string {
	authority, _, _ := strings.Cut(rest, "/")
	if inner, v6 := strings.CutPrefix(authority, "["); v6 {
		host, _, _ := strings.Cut(inner, "]")
		return host
	}
	host, _, _ := strings.Cut(authority, ":")
	return host
}

func (k *checker) jobs(j *Jobs, path string) {
	if j.Mode == "parameterised" && j.Name == "" {
		k.problem(path, `mode parameterised needs "name"`)
	}
	k.must(path+".prefix", jobName(j.Prefix))
	if err := jobName(j.Name); err != nil && strings.Contains(j.Name, "/") {
		k.problem(path+".name", `want the name of the job alone: the folder it is in stands in "folder"`)
	} else {
		k.must(path+".name", err)
	}
	if j.Mode == "slots" && j.Prefix == "" {
		k.problem(path+".prefix", "must not be empty: pitcrew recognises its jobs by it")
	}
	if strings.ContainsAny(j.Folder, `\?#`) || slices.Contains(strings.Split(j.Folder, "/"), "..") {
		k.problem(path+".folder", "want the path of a folder, such as ci/pitcrew")
	}
}

// jobName refuses what jenkins.model.Jenkins#checkGoodName refuses.
func jobName(name string) error {
	const refused = `?*/\%!@#$^&|<>[]:;`
	if strings.ContainsAny(name, refused) {
		return errors.New("a job's name may hold none of " + refused)
	}
	return nil
}

func (k *checker) pool(i int) {
	p := &k.config.Pools[i]
	path := fmt.Sprintf("pools[%d]", i)
	k.refers(path+".controllers", "controller", p.Controllers, k.config.controllerNames())
	k.poolAgents(p, path+".agents")
	k.shadowed(i, path)
	recipes := namesOf(k.config.Recipes, func(r Recipe) string { return r.Name })
	if p.Recipe != "" && !slices.Contains(recipes, p.Recipe) {
		k.problem(path+".recipe", "no recipe is called %q%s", p.Recipe, didYouMean(p.Recipe, recipes))
	}
	if p.SSH == nil && (p.Delivery == "ssh" || p.MonitorOffline == "ssh") {
		k.problem(path, `"ssh" is missing: delivery or monitorOffline asks for it`)
	}
	if p.SSH != nil {
		k.ssh(p.SSH, path+".ssh")
	}
	if p.Backoff.First > p.Backoff.Max {
		k.problem(path+".backoff", "first (%s) is longer than max (%s)", p.Backoff.First, p.Backoff.Max)
	}
	if d := p.FailureDomain; d != nil {
		if least := k.config.DomainCap(d.LabelPrefix); d.MaxCleanups > least {
			k.warn(path+".failureDomain", fmt.Sprintf("another pool allows only %d at once in domains %s: the smallest number counts", least, d.LabelPrefix))
		}
	}
	if p.Loans != nil {
		k.loans(p.Loans, path+".loans")
	}
	if p.Rollout != nil {
		k.rollout(p, path+".rollout")
	}
	k.poolDurations(p, path)
}

func (k *checker) poolDurations(p *Pool, path string) {
	k.atLeast(path+".backoff.first", p.Backoff.First, time.Second)
	k.atLeast(path+".quarantine.nextLook", p.Quarantine.NextLook, time.Minute)
	k.atLeast(path+".breaker.within", p.Breaker.Within, time.Minute)
	k.atLeast(path+".limits.queue", p.Limits.Queue, time.Second)
	k.atLeast(path+".limits.run", p.Limits.Run, time.Second)
	k.atLeast(path+".limits.reconnect", p.Limits.Reconnect, time.Second)
	k.atLeast(path+".limits.grant", p.Limits.Grant, time.Second)
	if p.TTL > 0 {
		k.atLeast(path+".ttl", p.TTL, time.Minute)
	}
	if p.Deadman > 0 {
		k.atLeast(path+".deadman", p.Deadman, time.Minute)
	}
}

// poolAgents checks the label expression and points into it.
func (k *checker) poolAgents(p *Pool, path string) {
	if p.Agents == "" {
		return
	}
	var err error
	p.expr, err = labelexpr.Parse(p.Agents)
	if syntax, ok := errors.AsType[*labelexpr.SyntaxError](err); ok {
		at := k.at(path)
		if k.dec.quotesAt(at) {
			at.column++
		}
		at.column += len([]rune(p.Agents[:syntax.Offset]))
		k.problemAt(at, path, "label expression: "+syntax.Msg)
		return
	}
	for _, label := range p.expr.Atoms() {
		if label == k.config.Labels.Dirty || label == k.config.Labels.Clean {
			k.problem(path, "must not mention %q: that label comes and goes, and the agent would change its pool with it", label)
		}
	}
}

// shadowed finds pools that can never get an agent because an earlier one takes the same or all agents.
func (k *checker) shadowed(i int, path string) {
	p := &k.config.Pools[i]
	for j := range i {
		earlier := &k.config.Pools[j]
		sameAgents := earlier.Agents == "" || earlier.expr.Equal(p.expr) && !p.expr.IsZero()
		if sameAgents && coversControllers(earlier.Controllers, p.Controllers) {
			k.problem(path, "never gets an agent: pool %q above takes them all", earlier.Name)
			return
		}
	}
}

func coversControllers(earlier, later []string) bool {
	if len(earlier) == 0 {
		return true
	}
	return len(later) > 0 && !slices.ContainsFunc(later, func(c string) bool { return !slices.Contains(earlier, c) })
}

func (k *checker) ssh(s *SSH, path string) {
	if !strings.Contains(s.Host, "{agent}") && len(s.Hosts) == 0 && s.Host != "" {
		k.problem(path+".host", "every agent would have this address: put {agent} into it, or list the agents in hosts")
	}
	for i, hop := range s.Jump {
		if hop == "" || strings.ContainsAny(hop, " \t,") {
			k.problem(fmt.Sprintf("%s.jump[%d]", path, i), "want user@host:port")
		}
	}
}

func (k *checker) notification(n *Notification, path string) {
	switch {
	case n.Webhook == nil && len(n.Exec) == 0:
		k.problem(path, `"webhook" or "exec" is missing`)
	case n.Webhook != nil && len(n.Exec) > 0:
		k.problem(path+".exec", "there is a webhook already: make two notifications")
	case n.Webhook == nil && n.Exec[0] == "":
		k.problem(path+".exec[0]", "the program is missing")
	}
	if n.Webhook != nil {
		k.atLeast(path+".webhook.timeout", n.Webhook.Timeout, 100*time.Millisecond)
	}
	k.refers(path+".controllers", "controller", n.Controllers, k.config.controllerNames())
	k.refers(path+".pools", "pool", n.Pools, k.config.poolNames())
}
