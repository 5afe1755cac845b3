// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// EventType names what happened; the names are part of the API and do not change.
type EventType string

// The types of event. One event is written for every change of state, in the same transaction, and
// for every order of a person.
const (
	EventAdopted           EventType = "agent.adopted"
	EventWithdrawn         EventType = "agent.withdrawn"
	EventForgotten         EventType = "agent.forgotten"
	EventRefused           EventType = "agent.refused"
	EventLaunched          EventType = "agent.launched"
	EventUncleaned         EventType = "agent.due"
	EventRelabelled        EventType = "agent.relabelled"
	EventDisputed          EventType = "agent.disputed"
	EventClaimed           EventType = "cleanup.claimed"
	EventHanded            EventType = "cleanup.running"
	EventReconnecting      EventType = "cleanup.reconnecting"
	EventProved            EventType = "cleanup.proved"
	EventGranted           EventType = "agent.clean"
	EventFailed            EventType = "cleanup.failed"
	EventLost              EventType = "cleanup.lost"
	EventGivenBack         EventType = "cleanup.given_back"
	EventLosing            EventType = "agent.losing"
	EventQuarantined       EventType = "agent.quarantined"
	EventReleased          EventType = "agent.released"
	EventHeld              EventType = "agent.held"
	EventUnheld            EventType = "agent.unheld"
	EventRequested         EventType = "agent.requested"
	EventContaminated      EventType = "build.contaminated"
	EventStale             EventType = "cleanup.stale_result"
	EventMarked            EventType = "agent.offline_mark"
	EventConfigured        EventType = "agent.configured"
	EventPaused            EventType = "pause.on"
	EventResumed           EventType = "pause.off"
	EventBreakerOpen       EventType = "breaker.open"
	EventBreakerShut       EventType = "breaker.closed"
	EventDead              EventType = "pool.dead"
	EventAlive             EventType = "pool.alive"
	EventShort             EventType = "pool.short"
	EventEnough            EventType = "pool.enough"
	EventBuildsBad         EventType = "pool.contaminated"
	EventBuildsGood        EventType = "pool.uncontaminated"
	EventUnread            EventType = "builds.unknown"
	EventRead              EventType = "builds.known"
	EventPoolUnread        EventType = "pool.builds_unknown"
	EventPoolRead          EventType = "pool.builds_known"
	EventStuck             EventType = "agent.stuck"
	EventUnstuck           EventType = "agent.unstuck"
	EventPoolStuck         EventType = "pool.stuck"
	EventPoolUnstuck       EventType = "pool.unstuck"
	EventController        EventType = "controller.changed"
	EventRival             EventType = "controller.rival"
	EventGateUp            EventType = "gate.up"
	EventGateLost          EventType = "gate.lost"
	EventGateLeft          EventType = "gate.left"
	EventLoanRequested     EventType = "loan.requested"
	EventLoanGranted       EventType = "loan.granted"
	EventLoanGivenBack     EventType = "loan.given_back"
	EventLoanAttached      EventType = "loan.attached"
	EventLoanRenewed       EventType = "loan.renewed"
	EventLoanReturning     EventType = "loan.returning"
	EventLoanReleased      EventType = "loan.released"
	EventLoanCleaned       EventType = "loan.cleaned"
	EventLoanExpired       EventType = "loan.expired"
	EventLoanFailed        EventType = "loan.failed"
	EventLoanOverrun       EventType = "loan.overrun"
	EventLoanLost          EventType = "loan.lost_contact"
	EventLoanOwed          EventType = "loan.node_owed"
	EventLoanPaid          EventType = "loan.node_deleted"
	EventRolloutStarted    EventType = "rollout.started"
	EventRolloutStage      EventType = "rollout.stage"
	EventRolloutPaused     EventType = "rollout.paused"
	EventRolloutResumed    EventType = "rollout.resumed"
	EventRolloutRolledBack EventType = "rollout.rolled_back"
	EventRolloutDone       EventType = "rollout.done"
	EventRolloutBlamed     EventType = "rollout.blamed"
	EventRolloutRehearsed  EventType = "rollout.rehearsed"
	EventRolloutDropped    EventType = "rollout.dropped"
	EventConfig            EventType = "config.rejected"
	EventConfigTaken       EventType = "config.reloaded"
	EventSlot              EventType = "slot.refused"
	EventEpoch             EventType = "store.epoch"
	EventBackup            EventType = "store.backup"
	EventTokenMade         EventType = "token.created"
	EventTokenRevoked      EventType = "token.revoked"
)

// EventTypes returns every type of event, in the order of their list above. Filters are validated
// against it.
func EventTypes() []EventType {
	return []EventType{
		EventAdopted, EventWithdrawn, EventForgotten, EventRefused, EventLaunched, EventUncleaned, EventRelabelled, EventDisputed,
		EventClaimed, EventHanded, EventReconnecting, EventProved, EventGranted,
		EventFailed, EventLost, EventGivenBack, EventLosing, EventQuarantined, EventReleased,
		EventHeld, EventUnheld, EventRequested, EventContaminated, EventStale,
		EventMarked, EventConfigured, EventPaused, EventResumed, EventBreakerOpen, EventBreakerShut,
		EventDead, EventAlive, EventShort, EventEnough, EventBuildsBad, EventBuildsGood,
		EventUnread, EventRead, EventPoolUnread, EventPoolRead,
		EventStuck, EventUnstuck, EventPoolStuck, EventPoolUnstuck, EventController,
		EventRival, EventGateUp, EventGateLost, EventGateLeft,
		EventLoanRequested, EventLoanGranted, EventLoanGivenBack, EventLoanAttached, EventLoanRenewed, EventLoanReturning, EventLoanReleased,
		EventLoanCleaned, EventLoanExpired, EventLoanFailed, EventLoanOverrun, EventLoanLost, EventLoanOwed, EventLoanPaid,
		EventRolloutStarted, EventRolloutStage, EventRolloutPaused, EventRolloutResumed, EventRolloutRolledBack, EventRolloutDone, EventRolloutBlamed, EventRolloutRehearsed, EventRolloutDropped,
		EventConfig, EventConfigTaken, EventSlot, EventEpoch, EventBackup, EventTokenMade, EventTokenRevoked,
	}
}

// Event is one line of the audit trail: who or what, when, why, before and after.
type Event struct {
	ID      int64 // given by the store, ascending
	Type    EventType
	At      time.Time
	Actor   string // "pitcrew", or the name of the token that asked
	Subject string // agent, pool or controller
	Agent   AgentID
	Pool    string
	Attempt int64
	Before  State
	After   State
	Reason  string
	Data    map[string]string
}
