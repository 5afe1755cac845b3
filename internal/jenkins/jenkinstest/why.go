// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// why explains an item in the caller's language.
func (j *Jenkins) why(it *item, l locale) string {
	switch it.stage {
	case stageWaiting:
		if left := time.Until(it.due); left > 0 {
			return l.quietPeriod(timeSpan(left))
		}
		return l.finishedWaiting()
	case stageBlocked:
		return j.whyBlocked(it, l)
	case stageBuildable, stagePending:
		return j.whyBuildable(it, l)
	case stageLeft: // it waits for nothing any more
	}
	return ""
}

func (j *Jenkins) whyBlocked(it *item, l locale) string {
	if text := it.task.blockage(l); text != "" {
		return text
	}
	if it.veto.refused() {
		return it.veto.reason(l)
	}
	return l.alreadyInProgress()
}

func (v veto) reason(l locale) string {
	if v.failed {
		return l.vetoFailed()
	}
	return v.text
}

// whyBuildable is BuildableItem.getCauseOfBlockage. With exactly one node in the label
// the node is named, not the label.
func (j *Jenkins) whyBuildable(it *item, l locale) string {
	if j.life.quieting {
		return l.shuttingDown()
	}
	text := it.label()
	if text == "" {
		if causes := j.refusals(it, nil, l); causes != "" {
			return causes
		}
		return l.nextExecutor()
	}
	lab := j.labels.lookup(text)
	nodes := j.labels.sortedSet(lab)
	single := len(nodes) == 1
	switch {
	case len(nodes) == 0:
		return l.noNodes(lab.name)
	case j.labelOffline(lab) && single:
		return l.nodeOffline(displayOf(nodes[0]))
	case j.labelOffline(lab):
		return l.allOffline(lab.name)
	}
	if causes := j.refusals(it, lab, l); causes != "" {
		return causes
	}
	if single {
		return l.nextExecutorOn(displayOf(nodes[0]))
	}
	return l.nextExecutorOn(lab.name)
}

func displayOf(node string) string {
	if node == "" {
		return builtInDisplay
	}
	return node
}

// refusals joins the reasons of the nodes with an idle executor, one clause per distinct
// text; "" if the label has no idle executor at all.
func (j *Jenkins) refusals(it *item, lab *label, l locale) string {
	reasons := map[string]bool{}
	idle := false
	for _, c := range j.fleet.sorted {
		n := j.nodeOf(c)
		if n == nil || j.offline(c) || c.parked() == nil {
			continue
		}
		idle = idle || lab == nil || j.labels.contains(lab, n)
		if r := j.refusal(c, n, it, lab, l); r != "" {
			reasons[r] = true
		}
	}
	if !idle || len(reasons) == 0 {
		return ""
	}
	return strings.Join(sortedKeys(reasons), "; ")
}

// refusal is JobOffer.getCauseOfBlockage for an online computer.
func (j *Jenkins) refusal(c *computer, n *node, it *item, lab *label, l locale) string {
	switch {
	case lab != nil && !j.labels.contains(lab, n):
		return l.lacksLabel(n.displayName(), lab.name)
	case lab == nil && n.mode == modeExclusive:
		return l.reserved(n.displayName())
	}
	if v := j.canTakeHooks(c, it.view()); v.refused() {
		return v.reason(l)
	}
	if c.rejecting {
		return l.notAccepting(n.displayName())
	}
	return ""
}

// timeSpan is hudson.Util#getTimeSpanString for short times.
func timeSpan(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d sec", int(d.Minutes()), int(d.Seconds())%60)
	case d >= 10*time.Second:
		return fmt.Sprintf("%d sec", int(d.Seconds()))
	case d >= time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " sec"
	default:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
