// SPDX-License-Identifier: Apache-2.0

package config

import "github.com/pitcrew-ci/pitcrew/internal/labelexpr"

// Pool is a number of agents that share recipe and policy.
type Pool struct {
	// Name is how people call the pool: letters, digits, dot, dash and underscore.
	Name string `yaml:"name" jsonschema:"required"`
	// Controllers are the names of the controllers that the pool takes agents from. Empty means all.
	Controllers []string `yaml:"controllers,omitempty"`
	// Agents is a Jenkins label expression: the pool takes the managed agents that satisfy it. Empty means all. It may
	// not mention the labels dirty and clean, because these come and go.
	Agents string `yaml:"agents,omitempty"`
	// Recipe is the name of the recipe that makes these agents ready.
	Recipe string `yaml:"recipe" jsonschema:"required"`
	// Delivery says how the recipe reaches the machine: job runs it as a Jenkins build, ssh over SSH.
	Delivery string `yaml:"delivery" jsonschema:"default=job,enum=job,enum=ssh"`
	// SSH is how machines are reached over SSH.
	SSH *SSH `yaml:"ssh,omitempty"`
	// MaxCleanups is how many agents of this pool may be cleaned at once, over all controllers. 0 means that only the
	// limits of the controllers count.
	MaxCleanups int `yaml:"maxCleanups" jsonschema:"default=0,minimum=0,maximum=10000"`
	// Loans says that agents of this pool are lent to borrowers. Without it none is.
	Loans *Loans `yaml:"loans,omitempty"`
	// Rollout says that a new revision of the recipe goes to a few agents first. Without it all get it at once.
	Rollout  *Rollout `yaml:"rollout,omitempty"`
	Failures `yaml:",inline"`
	Upkeep   `yaml:",inline"`
	// Limits bound the parts of one cleanup.
	Limits   Limits `yaml:"limits"`
	Switches `yaml:",inline"`

	expr labelexpr.Expr // Agents, parsed
}

// SSH is how machines are reached over SSH.
type SSH struct {
	// User is the account on the machine.
	User string `yaml:"user" jsonschema:"required"`
	// Port is the port of the SSH server.
	Port int `yaml:"port" jsonschema:"default=22,minimum=1,maximum=65535"`
	// Host is the machine's address; {agent} stands for the name of the agent.
	Host string `yaml:"host" jsonschema:"default={agent}"`
	// Hosts gives the addresses of agents for which host is wrong, by agent name.
	Hosts map[string]string `yaml:"hosts,omitempty"`
	// Key refers to the private key.
	Key Secret `yaml:"key" jsonschema:"required"`
	// Passphrase refers to the passphrase of the key.
	Passphrase Secret `yaml:"passphrase,omitempty"`
	// KnownHosts is a file in the format of OpenSSH with the keys of the machines and of the jump hosts. A machine
	// that is not in it is refused.
	KnownHosts string `yaml:"knownHosts" jsonschema:"required"`
	// Jump are the hosts to go through, in this order, as user@host:port; user and port may be left out.
	Jump []string `yaml:"jump,omitempty"`
}

// Failures say what happens when cleanups fail.
type Failures struct {
	// FailureDomain bounds the cleanups among agents that share something.
	FailureDomain *FailureDomain `yaml:"failureDomain,omitempty"`
	// Backoff is the wait after a failed cleanup.
	Backoff Backoff `yaml:"backoff"`
	// Quarantine keeps an agent out after failures in a row.
	Quarantine Quarantine `yaml:"quarantine"`
	// Breaker stops new cleanups when many agents fail, since the recipe or something they share is then at fault.
	Breaker Breaker `yaml:"breaker"`
}

// FailureDomain bounds the cleanups among agents that share something: a rack, a hypervisor, a switch.
type FailureDomain struct {
	// LabelPrefix starts the label that names an agent's domain, such as rack- for rack-7.
	LabelPrefix string `yaml:"labelPrefix" jsonschema:"required"`
	// MaxCleanups is how many agents of one domain may be cleaned at once, over all pools and controllers. Of pools with the same prefix the smallest number counts.
	MaxCleanups int `yaml:"maxCleanups" jsonschema:"default=1,minimum=1,maximum=10000"`
}

// DomainCap is how many agents of one failure domain may be cleaned at once where pools name their
// domains by a label prefix: the smallest number that one of them says.
func (c *Config) DomainCap(labelPrefix string) int {
	least := 0
	for i := range c.Pools {
		if d := c.Pools[i].FailureDomain; d != nil && d.LabelPrefix == labelPrefix && (least == 0 || d.MaxCleanups < least) {
			least = d.MaxCleanups
		}
	}
	return least
}

// Backoff is the wait after a failed cleanup.
type Backoff struct {
	// First is the wait after the first failure. It doubles with each further one.
	First Duration `yaml:"first" jsonschema:"default=1m"`
	// Max is the longest wait.
	Max Duration `yaml:"max" jsonschema:"default=1h"`
}

// Quarantine keeps an agent out after failures in a row.
type Quarantine struct {
	// After is the number of failures in a row. 0 means never.
	After int `yaml:"after" jsonschema:"default=3,minimum=0,maximum=1000"`
	// NextLook is the time until a quarantined agent is tried again.
	NextLook Duration `yaml:"nextLook" jsonschema:"default=24h"`
}

// Breaker stops new cleanups with a recipe, as it is now, when it fails on many agents, in one step or in several. An
// agent that has been cleaned since it failed does not count; agents that did not fail do not matter.
type Breaker struct {
	// Agents is how many different agents must fail, and at least one in twenty of those that were cleaned: the few sick ones of a big pool are no news. 0 means never.
	Agents int `yaml:"agents" jsonschema:"default=3,minimum=0,maximum=10000"`
	// Failures is how many failures there must be among them, those of an agent since it was last cleaned.
	Failures int `yaml:"failures" jsonschema:"default=5,minimum=1,maximum=10000"`
	// Within is the time in which they must happen.
	Within Duration `yaml:"within" jsonschema:"default=1h"`
}

// Upkeep says how a pool is looked after.
type Upkeep struct {
	// Depth is how thorough its cleanups are: each runs the steps of the recipe that want this depth or less.
	Depth string `yaml:"depth" jsonschema:"default=standard,enum=light,enum=standard,enum=deep"`
	// TTL is the age at which a clean agent is verified again. 0 means never.
	TTL Duration `yaml:"ttl" jsonschema:"default=0"`
	// Deadman raises an alarm when the pool had no successful cleanup for so long although it needed one. Agents in
	// quarantine need one only when all of the pool are. 0 means never.
	Deadman Duration `yaml:"deadman" jsonschema:"default=24h"`
	// CapacityFloor is the share of the pool on a controller, or the number of agents there, that must stay usable: an
	// alarm is raised when fewer are, no agent is lent when fewer would be, and no clean agent is verified again for its
	// age when fewer would stay clean. It stops no cleanups: they are what brings agents back. 0 means never. A percentage
	// below 100% always leaves one agent that may be lent or verified again.
	CapacityFloor Share `yaml:"capacityFloor" jsonschema:"default=20%"`
	// Disjoint says that agents on one machine use different users and paths, so that one may be cleaned while another
	// runs a build.
	Disjoint bool `yaml:"disjoint,omitempty"`
	// LaunchOnDemand launches agents that come online on demand when the queue wants more clean ones.
	LaunchOnDemand bool `yaml:"launchOnDemand" jsonschema:"default=true"`
	// MonitorOffline says what to do about an agent that a node monitor of Jenkins took offline: lift its mark while the
	// agent is cleaned, clean it over ssh, or leave it alone.
	MonitorOffline string `yaml:"monitorOffline" jsonschema:"default=lift,enum=lift,enum=ssh,enum=leave"`
}

// Limits bound the parts of one cleanup.
type Limits struct {
	// Queue is how long a cleanup may wait for its agent before it is called off.
	Queue Duration `yaml:"queue" jsonschema:"default=10m"`
	// Run is how long the recipe may run.
	Run Duration `yaml:"run" jsonschema:"default=1h"`
	// Reconnect is how long an agent may take to come back after a reconnect or reboot.
	Reconnect Duration `yaml:"reconnect" jsonschema:"default=10m"`
	// Grant is how long a proof of cleanness is good when the label clean cannot be written.
	Grant Duration `yaml:"grant" jsonschema:"default=10m"`
	// Hidden is how long an agent may be busy with something that pitcrew may not see before that counts as a build.
	Hidden Duration `yaml:"hidden" jsonschema:"default=1m"`
}
