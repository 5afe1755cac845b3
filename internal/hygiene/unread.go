// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Unread is what is stored of an agent's build feed that cannot be read: which builds ran on the agent
// since is not known. The zero Unread is that of a feed whose newest reading succeeded.
type Unread struct {
	Since time.Time // the first of the readings in a row that failed
	Last  time.Time // the newest of them
	// Told is true once it has lasted so long that people are told. Grants do not wait for the feed any
	// more; what it will tell is owed until it can be read again.
	Told bool
}

// UnreadLimit is how long a grant waits for a feed that cannot be read. A restart of a controller takes
// less; a permission that is missing, or a record that Jenkins cannot load, does not go away by itself.
const UnreadLimit = 5 * time.Minute

// unreadGap is the longest time between two readings that count as in a row. An agent in use is not
// asked: two failures that lie hours apart are two passing ones.
const unreadGap = 2 * UnreadLimit

// Read returns what is to be stored after one more reading, of an agent with policy p.
func (u Unread) Read(failed bool, p Policy, now time.Time) Unread {
	if !failed {
		return Unread{}
	}
	if u.Since.IsZero() || now.Before(u.Last) || !u.Told && now.Sub(u.Last) > unreadGap {
		u.Since = now
	}
	u.Last = now
	u.Told = u.Told || now.Sub(u.Since) >= unreadLimit(p)
	return u
}

// Waits reports whether a grant waits until the feed can be read, or the limit is over.
func (u Unread) Waits() bool { return !u.Since.IsZero() && !u.Told }

// unreadLimit is the limit for agents with policy p: a grant must not be given up before.
func unreadLimit(p Policy) time.Duration {
	if p.Limits.Grant > 0 {
		return min(UnreadLimit, p.Limits.Grant/2)
	}
	return UnreadLimit
}

// unreadFirst is when a feed that could not be read is tried again by itself.
const unreadFirst = 20 * time.Second

// UnreadRetry is how long after the n-th failure in a row a feed is tried again; every is the interval
// of one that can be read.
func UnreadRetry(n int, agent string, every time.Duration) time.Duration {
	return min(every, Backoff{First: unreadFirst, Max: max(every, unreadFirst)}.After(n, agent))
}
