// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"strconv"
	"strings"
)

// version is a version of Jenkins core, such as 2.541.3.
type version [3]int

// parseVersion reads the leading numbers of a version; ok is false if there are none.
func parseVersion(s string) (v version, ok bool) {
	for i, part := range strings.SplitN(s, ".", 3) {
		digits := part
		if end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = part[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, i > 0
		}
		v[i] = n
	}
	return v, true
}

// before compares the first two numbers, since the changes listed here came with weekly releases.
func (v version) before(major, minor int) bool { return v[0] < major || v[0] == major && v[1] < minor }

// trap is a property of a range of versions that an operator should know.
type trap struct {
	from, until int // minor numbers of 2.x, until excluded; 0 is open
	level       Level
	message     string
	remedy      string
}

var traps = []trap{
	{0, 94, LevelFail, "labels of agents are not exported", "Update Jenkins."},
	{321, 333, LevelWarn, "jobs that ask for a label expression may go on to agents that lost a label of it for up to 5 minutes (JENKINS-67635)", "Update Jenkins to 2.333 or later."},
	{321, 507, LevelWarn, "scripts and plugins that change labels in place leave agents with the old ones for up to 5 minutes (JENKINS-68155); pitcrew itself is not affected", "Update Jenkins to 2.516.1 or later if such are in use."},
	{0, 308, LevelWarn, "a build request merged into another is not told from a new one", "Update Jenkins."},
	{482, 0, LevelOK, "saving an agent's configuration from an old copy undoes marks \"temporarily offline\" set since; pitcrew reads again just before it writes", ""},
	{509, 0, LevelOK, "the live display of a console may miss parts of lines; results are read from the complete console", ""},
}

// version reports the traps of the controller's version.
func (k *checker) version() {
	const topic = "version"
	v, ok := parseVersion(k.system.Version)
	switch {
	case !ok:
		k.add(LevelWarn, topic, "Compare with the versions that the guide lists.", "the version %q is not understood", k.system.Version)
		return
	case v.before(2, 0):
		k.add(LevelFail, topic, "Update Jenkins.", "Jenkins %s is too old", k.system.Version)
		return
	}
	for _, t := range traps {
		if v.before(2, t.from) || t.until != 0 && !v.before(2, t.until) {
			continue
		}
		k.add(t.level, topic, t.remedy, "Jenkins %s: %s", k.system.Version, t.message)
	}
}
