// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// plan is a step with what the console says about its place.
type plan struct {
	Step
	where string
}

// plan prepares the steps of a build and returns the link to run them on, nil if the
// agent is not connected.
func (j *Jenkins) plan(b *build) (plan, AgentLink) {
	c := b.executor.owner
	p := plan{Step: Step{
		Agent: c.name, Job: b.job.fullName(), Number: b.number, Workspace: b.workspace, Out: b.console,
		Params: map[string]string{},
	}}
	n := j.nodeOf(c)
	if n == nil {
		return p, nil
	}
	p.Env = j.environment(b, n)
	for _, v := range b.params {
		p.Params[v.name] = v.value
	}
	p.where = "Building remotely on " + n.name + " (" + strings.Join(n.labels, " ") + ")"
	if n.builtIn() {
		p.where = "Building on the built-in node"
	}
	return p, c.link
}

// environment is what the controller adds to an agent's environment
// (jenkins.model.CoreEnvironmentContributor and others).
func (j *Jenkins) environment(b *build, n *node) map[string]string {
	number := strconv.Itoa(b.number)
	env := nodeVariables(n)
	full := b.job.fullName()
	maps.Copy(env, map[string]string{
		"CI": "true", "JENKINS_HOME": j.home(), "HUDSON_HOME": j.home(),
		"JOB_NAME": full, "JOB_BASE_NAME": b.job.name, "BUILD_NUMBER": number, "BUILD_ID": number,
		"BUILD_DISPLAY_NAME": "#" + number, "BUILD_TAG": "jenkins-" + strings.ReplaceAll(full, "/", "-") + "-" + number,
		"NODE_NAME": n.selfLabel(), "NODE_LABELS": labelexpr.Join(sortedLabels(j.labelsOf(n))),
		"EXECUTOR_NUMBER": strconv.Itoa(max(0, b.executor.number)),
		"WORKSPACE":       b.workspace, "WORKSPACE_TMP": b.workspace + "@tmp",
		"JENKINS_SERVER_COOKIE": j.cookie, "HUDSON_SERVER_COOKIE": j.cookie,
	})
	if root := j.opts.RootURL; root != "" {
		root = strings.TrimSuffix(root, "/") + "/"
		env["JENKINS_URL"], env["HUDSON_URL"] = root, root
		env["JOB_URL"], env["BUILD_URL"] = root+b.job.path(), root+b.path()
	}
	for _, p := range b.params {
		env[p.name] = p.value
	}
	return env
}

func sortedLabels(labels []string) []string {
	slices.Sort(labels)
	return labels
}

// nodeVariables reads the environment node property: a serialised tree map, that is
// a comparator, a count and then keys and values in turn.
func nodeVariables(n *node) map[string]string {
	env := map[string]string{}
	if n.doc == nil {
		return env
	}
	vars := n.doc.path("nodeProperties", "hudson.slaves.EnvironmentVariablesNodeProperty", "envVars", "tree-map")
	if vars == nil {
		return env
	}
	var texts []string
	for _, e := range vars.children {
		if e.name == "string" {
			texts = append(texts, e.text)
		}
	}
	for i := 0; i+1 < len(texts); i += 2 {
		env[texts[i]] = texts[i+1]
	}
	return env
}

// leaseWorkspace picks the directory of a build: copies that run at the same time get
// @2, @3 and so on (hudson.slaves.WorkspaceList).
func (j *Jenkins) leaseWorkspace(n *node, jb *job) string {
	base := path.Join(n.remoteFS, "workspace", jb.fullName())
	if n.builtIn() {
		base = path.Join(j.home(), "workspace", jb.fullName())
	}
	for i := 1; ; i++ {
		ws := base
		if i > 1 {
			ws += "@" + strconv.Itoa(i)
		}
		if key := (lease{n.name, ws}); !j.leases[key] {
			j.leases[key] = true
			return ws
		}
	}
}

// lease is a workspace in use on a node.
type lease struct{ node, dir string }

func (j *Jenkins) releaseWorkspace(b *build) { delete(j.leases, lease{b.node, b.workspace}) }

// home is the controller's own home directory, as builds see it in JENKINS_HOME.
func (j *Jenkins) home() string {
	if j.opts.Dir == "" {
		return "/var/jenkins_home"
	}
	return path.Join(j.opts.Dir, "home")
}

// normalizeLines turns CR LF and lone CR into LF, as hudson.tasks.Shell does.
func normalizeLines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// interpreter is the command line of a script's "#!" line, split at blanks, or nil if
// it has none.
func interpreter(script string) []string {
	rest, ok := strings.CutPrefix(script, "#!")
	if !ok {
		return nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}
