// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"strings"
)

// Permission is named as the matrix of Jenkins' security page does.
type Permission string

// Permissions that the emulated controller knows.
const (
	Administer        Permission = "Overall/Administer"
	Manage            Permission = "Overall/Manage"
	Read              Permission = "Overall/Read"
	AgentConfigure    Permission = "Agent/Configure"
	AgentExtendedRead Permission = "Agent/ExtendedRead"
	AgentConnect      Permission = "Agent/Connect"
	AgentDisconnect   Permission = "Agent/Disconnect"
	AgentCreate       Permission = "Agent/Create"
	AgentDelete       Permission = "Agent/Delete"
	JobRead           Permission = "Job/Read"
	JobDiscover       Permission = "Job/Discover"
	JobCreate         Permission = "Job/Create"
	JobConfigure      Permission = "Job/Configure"
	JobExtendedRead   Permission = "Job/ExtendedRead"
	JobDelete         Permission = "Job/Delete"
	JobBuild          Permission = "Job/Build"
	JobCancel         Permission = "Job/Cancel"
	RunUpdate         Permission = "Run/Update"
	RunDelete         Permission = "Run/Delete"
	ViewCreate        Permission = "View/Create"
)

// internalIDs are the ids that error headers carry.
var internalIDs = map[string]string{"Overall": "hudson.model.Hudson", "Agent": "hudson.model.Computer", "Job": "hudson.model.Item", "Run": "hudson.model.Run", "View": "hudson.model.View"}

func (p Permission) id() string {
	group, name, _ := strings.Cut(string(p), "/")
	return internalIDs[group] + "." + name
}

// impliedBy lists what else grants a permission; Administer grants all.
var impliedBy = map[Permission][]Permission{
	Read:              {Manage},
	AgentConnect:      {AgentDisconnect},
	AgentExtendedRead: {AgentConfigure},
	JobExtendedRead:   {JobConfigure},
	JobDiscover:       {JobRead},
	JobCancel:         {},
}

// granted reports whether a set of permissions includes p.
func granted(set []Permission, p Permission) bool {
	if slices.Contains(set, p) || slices.Contains(set, Administer) {
		return true
	}
	return slices.ContainsFunc(impliedBy[p], func(by Permission) bool { return granted(set, by) })
}

// User is somebody who may log in. Permissions hold everywhere; those of Jobs hold on
// the job or folder of that full name and below it.
type User struct {
	Name        string
	Password    string
	Tokens      []string
	Admin       bool
	Permissions []Permission
	Jobs        map[string][]Permission
}

// Security is who may do what. Without users there is none: everybody is an
// administrator and the Authorization header is ignored.
type Security struct {
	Users []User
	// Anonymous is what requests without credentials may do.
	Anonymous []Permission
	// NoCrumbs switches CSRF protection off.
	NoCrumbs bool
}

// principal is who makes a request.
type principal struct {
	name      string // "" for anonymous
	user      *User
	anonymous []Permission
	open      bool // no security realm
	token     bool // authenticated by API token
}

func (p *principal) permissions() []Permission {
	switch {
	case p.open:
		return []Permission{Administer}
	case p.user == nil:
		return p.anonymous
	case p.user.Admin:
		return []Permission{Administer}
	default:
		return p.user.Permissions
	}
}

func (p *principal) can(perm Permission) bool { return granted(p.permissions(), perm) }

// canJob also looks at grants on the job and the folders it is in.
func (p *principal) canJob(perm Permission, jb *job) bool {
	if p.can(perm) {
		return true
	}
	if p.user == nil || len(p.user.Jobs) == 0 {
		return false
	}
	for at := jb; at != nil && at.parent != nil; at = at.parent {
		if granted(p.user.Jobs[at.fullName()], perm) {
			return true
		}
	}
	return false
}

// id is the user name for texts and causes.
func (p *principal) id() string {
	if p.name == "" {
		return "anonymous"
	}
	return p.name
}
