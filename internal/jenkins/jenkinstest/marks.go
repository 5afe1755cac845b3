// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import "time"

// What monitors and people do to an agent.

// monitorUser is who sets and lifts a monitor's marks, for the journal.
const monitorUser = "monitor"

// ReportDisk sets what the disk and temporary space monitors show for the agent.
func (a *Agent) ReportDisk(freeBytes int64) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.monitors = map[string]int64{monitorDisk: freeBytes, monitorTemp: freeBytes}
	}
}

// MonitorOffline marks the agent temporarily offline as the disk space monitor does.
func (a *Agent) MonitorOffline(freeBytes int64) {
	a.mark(&offlineCause{
		class: causeDiskSpace, at: time.Now(), message: "Disk space is too low.",
		fields: map[string]int64{"size": freeBytes, "threshold": 1 << 30, "totalSize": 1 << 38, "warningThreshold": 1 << 31},
	}, monitorUser)
}

// MonitorOnline lifts the mark again, whoever set it.
func (a *Agent) MonitorOnline() { a.mark(nil, monitorUser) }

// MarkOffline marks the agent temporarily offline as a person does.
func (a *Agent) MarkOffline(user, message string) { a.mark(userCause(user, message), user) }

func (a *Agent) mark(cause *offlineCause, who string) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		a.j.setTemporaryCause(c, cause, who)
	}
}

// RefuseTasks makes the computer accept or refuse tasks; the flag dies with the computer
// object.
func (a *Agent) RefuseTasks(refuse bool) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.rejecting = refuse
		a.j.scheduleMaintenance()
	}
}

// Omit makes the export of the computer fail, so that listings silently leave it out.
func (a *Agent) Omit(omit bool) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.omit = omit
	}
}
