// SPDX-License-Identifier: Apache-2.0

package config

// The kinds of events that a notification can ask for.
const (
	OnQuarantined    = "quarantined"     // an agent was put into quarantine
	OnReleased       = "released"        // an agent left quarantine
	OnBreaker        = "breaker"         // the breaker of a recipe opened or closed
	OnCapacity       = "capacity"        // a pool fell under its capacity floor, or recovered
	OnDeadman        = "deadman"         // a pool had no successful cleanup for too long, or has again
	OnController     = "controller"      // a controller was lost, or is back
	OnContaminated   = "contaminated"    // real builds ran on agents of a pool that were not clean, or none for a day; or that cannot be known
	OnGate           = "gate"            // the gate of a controller was lost, is back, or was removed
	OnStuck          = "stuck"           // the labels of agents of a pool cannot be written, or those of all can again
	OnLoan           = "loan"            // a loan takes too long to come back, lost its borrower, failed, or left a node there
	OnRollout        = "rollout"         // a rollout began, went on, was paused or rolled back, ended, or somebody was blamed in it
	OnOwnerConflict  = "owner-conflict"  // another installation services the same controller
	OnConfigRejected = "config-rejected" // a reload was refused
)

// Notification says who hears of which events: once per change of state, never per attempt.
type Notification struct {
	// Name is how the log calls the receiver.
	Name string `yaml:"name" jsonschema:"required"`
	// Webhook sends a CloudEvents envelope by POST. Either webhook or exec must be set.
	Webhook *Webhook `yaml:"webhook,omitempty"`
	// Exec starts a program with arguments and gives it the envelope on standard input, and parts of it as
	// PITCREW_NOTICE_ variables. There is no shell.
	Exec []string `yaml:"exec,omitempty"`
	// Events are the kinds of events. Empty means all.
	Events []string `yaml:"events,omitempty" jsonschema:"enum=quarantined,enum=released,enum=breaker,enum=capacity,enum=deadman,enum=controller,enum=contaminated,enum=stuck,enum=gate,enum=loan,enum=rollout,enum=owner-conflict,enum=config-rejected"`
	// Controllers restricts the events to those of these controllers.
	Controllers []string `yaml:"controllers,omitempty"`
	// Pools restricts the events to those of these pools.
	Pools []string `yaml:"pools,omitempty"`
}

// Webhook is an HTTP receiver.
type Webhook struct {
	// URL is the address. Where the address itself is a secret, as with chat services, give a reference to it.
	URL Endpoint `yaml:"url" jsonschema:"required"`
	// Secret refers to the key of the signature, an HMAC-SHA256 in the header Webhook-Signature. A key that begins with
	// whsec_ is base64, any other is taken as it is.
	Secret Secret `yaml:"secret,omitempty"`
	// Timeout is for one delivery.
	Timeout Duration `yaml:"timeout" jsonschema:"default=10s"`
}
