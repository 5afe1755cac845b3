// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"strings"
)

// locale selects the language of texts. Jenkins follows Accept-Language and falls
// back to the language of its host, which here is not English.
type locale bool

const (
	english locale = true
	german  locale = false
)

func localeOf(r *http.Request) locale {
	return locale(strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Header.Get("Accept-Language"))), "en"))
}

func (l locale) pick(en, de string) string {
	if l == english {
		return en
	}
	return de
}

func (l locale) disconnectedBy(user string) string {
	return l.pick("Disconnected by ", "Getrennt durch ") + user
}

func (l locale) connectionBroken() string {
	return l.pick("Connection was broken", "Verbindung wurde unterbrochen")
}

func (l locale) launchFailed() string {
	return l.pick("This agent is offline because Jenkins failed to launch the agent process on it.",
		"Dieser Agent ist offline, weil Jenkins den Agentenprozess nicht starten konnte.")
}

func (l locale) nodeOffline(node string) string {
	return l.pick("‘"+node+"’ is offline", node+" ist offline")
}

func (l locale) noNodes(label string) string {
	return l.pick("There are no nodes with the label ‘"+label+"’", "Es gibt keine Knoten mit dem Label „"+label+"“")
}

func (l locale) allOffline(label string) string {
	return l.pick("All nodes of label ‘"+label+"’ are offline", "Alle Knoten des Labels „"+label+"“ sind offline")
}

func (l locale) nextExecutor() string {
	return l.pick("Waiting for next available executor", "Warte auf den nächsten freien Build-Prozessor")
}

func (l locale) nextExecutorOn(where string) string {
	return l.pick("Waiting for next available executor on ‘"+where+"’", "Warte auf den nächsten freien Build-Prozessor auf „"+where+"“")
}

func (l locale) lacksLabel(node, label string) string {
	return l.pick("‘"+node+"’ doesn’t have label ‘"+label+"’", "„"+node+"“ hat nicht das Label „"+label+"“")
}

func (l locale) reserved(node string) string {
	return l.pick("‘"+node+"’ is reserved for jobs with matching label expression", "„"+node+"“ ist für Jobs mit passendem Label-Ausdruck reserviert")
}

func (l locale) notAccepting(node string) string {
	return l.pick("‘"+node+"’ is not accepting tasks", "„"+node+"“ akzeptiert keine Aufgaben")
}

func (l locale) shuttingDown() string {
	return l.pick("Jenkins is about to shut down", "Jenkins wird gerade heruntergefahren")
}

func (l locale) quietPeriod(left string) string {
	return l.pick("In the quiet period. Expires in "+left, "In Ruhe-Periode. Endet in "+left)
}

func (l locale) finishedWaiting() string { return l.pick("Finished waiting", "Warten beendet") }

func (l locale) alreadyInProgress() string {
	return l.pick("A build is already in progress", "Ein Build wird bereits durchgeführt")
}

func (l locale) buildInProgress(number, by string) string {
	return l.pick("Build #"+number+" is already in progress"+by, "Build #"+number+" läuft bereits"+by)
}

func (l locale) vetoFailed() string {
	return l.pick("Exception evaluating if the node can take the task", "Fehler bei der Prüfung, ob der Knoten die Aufgabe übernehmen kann")
}
