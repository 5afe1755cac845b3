// SPDX-License-Identifier: Apache-2.0

package jenkins

import "strings"

// The texts are those of hudson/model/Messages.properties in English, with its typographic quotes. Several reasons are
// joined by "; ".
const (
	openQuote, closeQuote = "‘", "’"

	whyNoNode    = "There are no nodes with the label ‘"
	whyAllOff    = "All nodes of label ‘"
	whyLacks     = "’ doesn’t have label ‘"
	whyReserved  = "’ is reserved for jobs with matching label expression"
	whyWaiting   = "Waiting for next available executor on ‘"
	whyIsOffline = "’ is offline"
	whyWaitAny   = "Waiting for next available executor"
)

// pipelineJob is a Pipeline's main run, a flyweight that asks for no label.
const pipelineJob = "org.jenkinsci.plugins.workflow.job.WorkflowJob"

// effectiveLabel derives what an item asks for; see [QueueItem.LabelExpression]. Jenkins does not export it. The job
// does (hudson.model.AbstractProject#getAssignedLabelString), but a parameter may override the job's
// (hudson.model.Queue.Item#getAssignedLabel), so a text that names a label for certain comes first.
func effectiveLabel(task wireTask, why string) (expression string, known bool) {
	if label, ok := certainLabel(why); ok {
		return label, true
	}
	switch {
	case task.LabelExpression.present:
		return task.LabelExpression.value, true
	case task.Class == pipelineJob:
		return "", true
	case strings.Contains(why, whyReserved) || why == whyWaitAny:
		return "", true // only items without a label are refused by a node that is reserved
	}
	return possibleLabel(why), false
}

// certainLabel finds the texts that always print the label itself.
func certainLabel(why string) (label string, ok bool) {
	for _, before := range []string{whyNoNode, whyAllOff, whyLacks} {
		if _, rest, found := strings.Cut(why, before); found {
			return quoted(rest)
		}
	}
	return "", false
}

// possibleLabel finds the texts that print the name of the node instead if the label has exactly one.
func possibleLabel(why string) string {
	if _, rest, found := strings.Cut(why, whyWaiting); found {
		label, _ := quoted(rest)
		return label
	}
	for clause := range strings.SplitSeq(why, "; ") {
		if rest, ok := strings.CutPrefix(clause, openQuote); ok && strings.HasSuffix(clause, whyIsOffline) {
			return strings.TrimSuffix(rest, whyIsOffline)
		}
	}
	return ""
}

// quoted returns s up to the quote that closes: one followed by a space, a semicolon or nothing, for a label may hold
// such a quote as an apostrophe.
func quoted(s string) (label string, ok bool) {
	for from := 0; ; {
		i := strings.Index(s[from:], closeQuote)
		if i < 0 {
			return "", false
		}
		end := from + i
		from = end + len(closeQuote)
		if rest := s[from:]; rest == "" || rest[0] == ' ' || rest[0] == ';' {
			return s[:end], true
		}
	}
}
