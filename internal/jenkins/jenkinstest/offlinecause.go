// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"html"
	"strconv"
	"time"
)

// Classes of offline causes (hudson.slaves.OfflineCause and friends).
const (
	causeUser         = "hudson.slaves.OfflineCause$UserCause"
	causeTermination  = "hudson.slaves.OfflineCause$ChannelTermination"
	causeLaunchFailed = "hudson.slaves.OfflineCause$LaunchFailed"
	causeIdle         = "hudson.slaves.OfflineCause$IdleOfflineCause"
	causeSimple       = "hudson.slaves.OfflineCause$SimpleOfflineCause"
	causeDiskSpace    = "hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace"
)

// offlineCause says why a computer is offline.
type offlineCause struct {
	class   string
	at      time.Time
	user    string // of a UserCause
	message string
	fields  map[string]int64 // of a monitor's cause
}

func userCause(user, message string) *offlineCause {
	if user == "" {
		user = "anonymous"
	}
	return &offlineCause{class: causeUser, at: time.Now(), user: user, message: message}
}

// equal reports whether two causes, nil for none, are the same.
func (c *offlineCause) equal(o *offlineCause) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.class == o.class && c.user == o.user && c.message == o.message && c.at.UnixMilli() == o.at.UnixMilli()
}

// described reports whether the class exports a description.
func (c *offlineCause) described() bool {
	switch c.class {
	case causeUser, causeIdle, causeSimple:
		return true
	default:
		return false
	}
}

// description is the localised text, escaped once as Jenkins stores it.
func (c *offlineCause) description(l locale) string {
	if c.class != causeUser {
		return c.message
	}
	text := l.disconnectedBy(c.user)
	if c.message != "" {
		text += " : " + html.EscapeString(c.message)
	}
	return text
}

// reason is offlineCauseReason: the "Disconnected by X : " prefix goes away and the
// text is escaped once more (jenkins.agents.IOfflineCause#getReason).
func (c *offlineCause) reason(l locale) string {
	switch c.class {
	case causeUser:
		if c.message == "" {
			return html.EscapeString(l.disconnectedBy(c.user))
		}
		return html.EscapeString(html.EscapeString(c.message))
	case causeTermination:
		return l.connectionBroken()
	case causeLaunchFailed:
		return l.launchFailed()
	default:
		return html.EscapeString(c.message)
	}
}

// element is the cause as the node's document stores it.
func (c *offlineCause) element() *element {
	e := &element{name: causeElement, attrs: xmlAttrs("class", c.class)}
	e.children = append(e.children, &element{name: "timestamp", text: strconv.FormatInt(c.at.UnixMilli(), 10)})
	if c.class == causeUser {
		e.children = append(e.children, &element{name: "userId", text: c.user})
	}
	if c.message != "" {
		e.children = append(e.children, &element{name: "message", text: c.message})
	}
	return e
}

func causeFromXML(e *element) *offlineCause {
	ms, err := strconv.ParseInt(e.value("timestamp"), 10, 64)
	if err != nil {
		ms = 0
	}
	class := e.attr("class")
	if class == "" {
		class = causeUser
	}
	return &offlineCause{class: class, at: time.UnixMilli(ms), user: e.value("userId"), message: e.value("message")}
}
