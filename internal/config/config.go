// SPDX-License-Identifier: Apache-2.0

package config

// Config is the whole configuration file.
type Config struct {
	// Version is the version of the file's format. There is one: 1.
	Version int `yaml:"version" jsonschema:"required,minimum=1,maximum=1"`
	// Data is the directory for the database and everything else that pitcrew keeps.
	Data string `yaml:"data" jsonschema:"default=/var/lib/pitcrew" reload:"restart"`
	// Owner is the name under which this installation owns its agents. It stands on every controller that it services,
	// and a second installation with another owner is refused there. Keep it when you move to another host, and give
	// each installation its own: of two with the same owner the one that was started later takes over. The default is
	// the name of the host.
	Owner string `yaml:"owner,omitempty" reload:"restart"`
	// API is how people and programs reach the daemon.
	API API `yaml:"api" reload:"restart"`
	// Log is what the daemon writes to standard error.
	Log Log `yaml:"log" reload:"restart"`
	// Labels are the three labels that pitcrew writes on agents.
	Labels Labels `yaml:"labels" reload:"restart"`
	// Controllers are the Jenkins controllers whose agents are serviced.
	Controllers []Controller `yaml:"controllers,omitempty"`
	// Recipes are the recipes that pools refer to.
	Recipes []Recipe `yaml:"recipes,omitempty"`
	// Pools say which agents are serviced, with which recipe and how. An agent belongs to the first pool, in the order
	// of the file, that takes it; an agent that no pool takes is not touched.
	Pools []Pool `yaml:"pools,omitempty"`
	// Borrowers are those whom pools lend agents to.
	Borrowers []Borrower `yaml:"borrowers,omitempty"`
	// Notifications say who hears of which events.
	Notifications []Notification `yaml:"notifications,omitempty" reload:"restart"`
	// Retention is how long history is kept.
	Retention Retention `yaml:"retention"`

	warnings []Problem
}

// Warnings returns what is allowed but deserves a look, in the order of the file.
func (c *Config) Warnings() []Problem { return c.warnings }

// API is how people and programs reach the daemon.
type API struct {
	// Listen is the address and port to listen on. Anything but a loopback address should have TLS.
	Listen string `yaml:"listen" jsonschema:"default=127.0.0.1:8473"`
	// TLS makes the daemon speak HTTPS.
	TLS *ServerTLS `yaml:"tls,omitempty"`
	// URL is the address at which people reach the daemon, for links in notifications and in Jenkins. The default is
	// made of listen.
	URL string `yaml:"url,omitempty"`
	// Metrics says who may read /metrics: anybody who reaches the port, or only the holder of a token.
	Metrics string `yaml:"metrics" jsonschema:"default=open,enum=open,enum=token"`
}

// ServerTLS makes the daemon speak HTTPS.
type ServerTLS struct {
	// Cert is the PEM file with the certificate and its chain.
	Cert string `yaml:"cert" jsonschema:"required"`
	// Key is the PEM file with the private key.
	Key string `yaml:"key" jsonschema:"required"`
}

// Log is what the daemon writes to standard error.
type Log struct {
	// Level is the least severe level that is written.
	Level string `yaml:"level" jsonschema:"default=info,enum=debug,enum=info,enum=warn,enum=error"`
	// Format is the form of a line. Auto means text on a terminal and json otherwise.
	Format string `yaml:"format" jsonschema:"default=auto,enum=auto,enum=json,enum=text"`
}

// Labels are the three labels that pitcrew writes on agents: one word each, without / and ;, all different.
type Labels struct {
	// Cleanable marks an agent as managed. You set it; pitcrew never does.
	Cleanable string `yaml:"cleanable" jsonschema:"default=cleanable"`
	// Dirty marks an agent that is being cleaned or waits after a failure.
	Dirty string `yaml:"dirty" jsonschema:"default=dirty"`
	// Clean marks an agent that is proven clean. Jobs ask for it.
	Clean string `yaml:"clean" jsonschema:"default=clean"`
}

// Recipe is one recipe that pools refer to.
type Recipe struct {
	// Name is how pools refer to the recipe.
	Name string `yaml:"name" jsonschema:"required"`
	// File is the recipe file. A relative path starts at the directory of the configuration file.
	File string `yaml:"file" jsonschema:"required"`
}

// Retention is how long history is kept. What the daemon still needs stays longer.
type Retention struct {
	// Events is for the audit trail.
	Events Duration `yaml:"events" jsonschema:"default=90d"`
	// Attempts is for the records of cleanups.
	Attempts Duration `yaml:"attempts" jsonschema:"default=90d"`
	// Logs is for the output of cleanups.
	Logs Duration `yaml:"logs" jsonschema:"default=14d"`
}

// Switches stop or tame the servicing of a controller or pool.
type Switches struct {
	// Paused stops new cleanups; the running ones end. The value is true or, better, the reason.
	Paused Pause `yaml:"paused,omitempty"`
	// DryRun shows what would be done and writes nothing anywhere. Cleanups in progress at a reload end.
	DryRun bool `yaml:"dryRun,omitempty"`
}
