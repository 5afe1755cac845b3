// SPDX-License-Identifier: Apache-2.0

package spec

// Accounts asks that groups and users are there, that users are members, and that logins have limits. What the agent sees
// only in a new process makes it reconnect.
type Accounts struct {
	Groups []string `json:"groups,omitempty"`
	// Users are there, whatever their home and shell: those are for one that has to be made.
	Users   []User   `json:"users,omitempty"`
	Members []Member `json:"members,omitempty"`
	Limits  []Limit  `json:"limits,omitempty"`
}

// User is a user as it is made where it is missing.
type User struct {
	Name  string `json:"name"`
	Home  string `json:"home,omitempty"`
	Shell string `json:"shell,omitempty"`
}

// Member is a user in a group.
type Member struct {
	User  string `json:"user"`
	Group string `json:"group"`
}

// Limit is a line of limits.conf(5): both the soft and the hard limit of a resource. Who is a user, a @group or *.
type Limit struct {
	Who   string `json:"who"`
	Item  string `json:"item"`
	Value string `json:"value"` // a number or "unlimited"
}

// Services asks systemd for the states of units.
type Services struct {
	Enabled  []string `json:"enabled,omitempty"`
	Disabled []string `json:"disabled,omitempty"`
	Masked   []string `json:"masked,omitempty"`
	Running  []string `json:"running,omitempty"`
	Stopped  []string `json:"stopped,omitempty"`
}

// Sysctl asks that values of the kernel are so, and if Persist after the next boot too.
type Sysctl struct {
	Values  []Value `json:"values"`
	Persist bool    `json:"persist,omitempty"`
}

// Value is a value of /proc/sys. Its name has dots between its parts, or slashes if a part has a dot.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Modules asks that modules of the kernel are loaded or built in, and if Persist after the next boot too.
type Modules struct {
	Loaded  []string `json:"loaded"`
	Persist bool     `json:"persist,omitempty"`
}

// Commands asks that programs are found in the PATH, some in a version.
type Commands struct {
	Programs []Program `json:"programs"`
}

// Program is a program, at least of the version AtLeast if that is set, as the first number with a dot tells that it says
// when it is run with Ask ("--version" if it is empty).
type Program struct {
	Name    string   `json:"name"`
	AtLeast string   `json:"atLeast,omitempty"`
	Ask     []string `json:"ask,omitempty"`
}
