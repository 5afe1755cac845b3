// SPDX-License-Identifier: Apache-2.0

package config

// Controller is one Jenkins controller whose agents are serviced.
type Controller struct {
	// Name is how pitcrew calls the controller: letters, digits, dot, dash and underscore. Do not change it later: the
	// history of the agents is kept under it.
	Name string `yaml:"name" jsonschema:"required"`
	// URL is the root address of Jenkins.
	URL   string `yaml:"url" jsonschema:"required"`
	Login `yaml:",inline"`
	// TLS is needed for a private certificate authority or for client certificates.
	TLS *ClientTLS `yaml:"tls,omitempty"`
	// Poll is the time between two looks at all agents and the queue: two requests, however many agents there are.
	Poll Duration `yaml:"poll" jsonschema:"default=5s"`
	// BuildFeedEvery is how often an agent that stays clean is asked for its builds, to find those that a poll cannot
	// see. At the start all clean agents are asked, five per second, for those that ran while no daemon lived.
	BuildFeedEvery Duration `yaml:"buildFeedEvery" jsonschema:"default=10m"`
	// Requests bounds the load on the controller.
	Requests Requests `yaml:"requests"`
	// MaxCleanups is how many agents of this controller may be cleaned at once. Agents that failed before come last
	// and take at most half of the places; a single place they may hold until their cleanup ends.
	MaxCleanups int `yaml:"maxCleanups" jsonschema:"default=10,minimum=1,maximum=10000"`
	// Settle is how long an agent that had a build rests after a restart of the controller, because Pipelines come
	// back by themselves. Others, as the newest look before the restart saw them, rest a fifth of it.
	Settle Duration `yaml:"settle" jsonschema:"default=5m"`
	// Jobs are the jobs that carry cleanups.
	Jobs     Jobs `yaml:"jobs"`
	Switches `yaml:",inline"`
}

// Login is who pitcrew is on a controller.
type Login struct {
	// User is the name of the Jenkins user.
	User string `yaml:"user" jsonschema:"required"`
	// Token refers to the user's API token. Either token or password must be set; prefer the token.
	Token Secret `yaml:"token,omitempty"`
	// Password refers to the user's password.
	Password Secret `yaml:"password,omitempty"`
}

// ClientTLS says how a controller is recognised and how pitcrew identifies itself.
type ClientTLS struct {
	// CA is a PEM file with certificate authorities to trust besides the system's.
	CA string `yaml:"ca,omitempty"`
	// Cert is the PEM file with the client certificate. It needs a key.
	Cert string `yaml:"cert,omitempty"`
	// Key is the PEM file with the private key of cert.
	Key string `yaml:"key,omitempty"`
}

// Requests bounds the load on a controller.
type Requests struct {
	// Timeout is for one request, its answer included.
	Timeout Duration `yaml:"timeout" jsonschema:"default=30s"`
	// PerSecond is how many requests may be sent per second, on average.
	PerSecond float64 `yaml:"perSecond" jsonschema:"default=20,minimum=0.1,maximum=10000"`
}

// Jobs are the jobs that carry cleanups on a controller. Whoever may configure them is root on the agents.
type Jobs struct {
	// Mode says whose jobs they are: slots are jobs that pitcrew creates itself, as many as maxCleanups; parameterised
	// is one job that you keep as code, and needs the nodelabelparameter plugin.
	Mode string `yaml:"mode" jsonschema:"default=slots,enum=slots,enum=parameterised"`
	// Folder is the folder the jobs are in, as a path; it must exist. Empty is the root.
	Folder string `yaml:"folder,omitempty"`
	// Prefix starts the names of slot jobs.
	Prefix string `yaml:"prefix" jsonschema:"default=pitcrew-"`
	// Name is the name of the parameterised job.
	Name string `yaml:"name,omitempty"`
	// NodeParameter is the parameter of that job which says where it runs.
	NodeParameter string `yaml:"nodeParameter" jsonschema:"default=NODE"`
}
