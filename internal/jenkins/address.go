// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// notNames are taken by hudson.model.ComputerSet itself, so that an agent of that name has no address.
var notNames = []string{".", "..", "api", "new", "createItem", "doCreateItem", "configure", "configSubmit", "updateNow"}

// illegalInNames are the characters that jenkins.model.Jenkins#checkGoodName refuses.
const illegalInNames = `?*/\%!@#$^&|<>[]:;`

// CheckAgentName says why Jenkins makes no agent of that name, or takes it for its built-in node (jenkins.model.Jenkins#checkGoodName
// and #getComputer); nil if nothing stands against it.
func CheckAgentName(name string) error {
	trimmed := strings.TrimSpace(name)
	switch {
	case trimmed == "":
		return errors.New("an agent's name may not be blank")
	case isBuiltIn(name):
		return errors.New("that is the built-in node, and no agent")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("an agent's name may hold no control characters")
	case strings.ContainsAny(name, illegalInNames):
		return errors.New("an agent's name may hold none of " + illegalInNames)
	case strings.HasSuffix(trimmed, "."):
		return errors.New("an agent's name may not end with a dot")
	}
	return nil
}

// computerPath returns the address of an agent below the root. Only %XX is decoded there: a plus sign stays one, which
// is how url.PathEscape leaves it.
func computerPath(agent string) (string, error) {
	switch {
	case isBuiltIn(agent):
		return "", ErrBuiltIn
	case slices.Contains(notNames, agent) || strings.ContainsAny(agent, illegalInNames):
		return "", errors.New("not the name of an agent")
	}
	return "/computer/" + url.PathEscape(agent), nil
}

// isBuiltIn reports whether agent addresses the built-in node, as jenkins.model.Jenkins#getComputer reads it.
func isBuiltIn(agent string) bool { return agent == "" || agent == "(built-in)" || agent == "(master)" }

// jobPath returns the address of a job below the root: "a/b" is /job/a/job/b.
func jobPath(job string) (string, error) {
	var b strings.Builder
	for part := range strings.SplitSeq(job, "/") {
		if part == "" || part == "." || part == ".." || strings.Contains(part, ";") {
			return "", errors.New("not the full name of a job")
		}
		b.WriteString("/job/" + url.PathEscape(part))
	}
	return b.String(), nil
}

// parseBuildURL reads the full name of the job and the number out of the address of a job or build, absolute or
// relative to the root, as far as they are in it. What stands before the first /job/ is ignored: a root that Jenkins
// was told differs from ours. A branch "a/b" of a multibranch project is a job named "a%2Fb", escaped again in its
// address; a matrix configuration or a Maven module follows its job without /job/ and belongs to its name.
func parseBuildURL(address string) (job string, number int64) {
	path := address
	if i := strings.Index(path, "://"); i >= 0 {
		path = path[i+3:]
		path = path[max(0, strings.IndexByte(path, '/')):]
	}
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := slices.Index(parts, "job")
	if at < 0 {
		return "", 0
	}
	var names []string
	for parts = parts[at:]; len(parts) > 0; {
		next := parts[0]
		parts = parts[1:]
		if next == "job" && len(parts) > 0 {
			next, parts = parts[0], parts[1:]
		} else if n, err := strconv.ParseInt(next, 10, 64); err == nil {
			number = max(n, 0)
			break
		}
		name, err := url.PathUnescape(next)
		if err != nil {
			return "", 0
		}
		names = append(names, name)
	}
	return strings.Join(names, "/"), number
}
