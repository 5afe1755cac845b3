// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// doors is everything about getting in: users, sessions, crumbs. It has its own lock.
type doors struct {
	mu       sync.Mutex
	users    map[string]*User
	security Security
	cookie   string            // name of the session cookie, random per start
	salt     string            // of crumbs
	sessions map[string]string // id -> logged-in user, "" for none
	issued   int
}

func (d *doors) init(j *Jenkins) {
	d.users, d.security = map[string]*User{}, j.opts.Security
	for _, u := range j.opts.Security.Users {
		d.users[strings.ToLower(u.Name)] = &u
	}
	d.begin(j, 0)
}

// begin is a new start of the process: all sessions are gone.
func (d *doors) begin(j *Jenkins, number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.salt = j.derive(fmt.Sprint("salt", number))
	d.cookie = "JSESSIONID." + d.salt[:8]
	d.sessions = map[string]string{}
}

func (d *doors) realm() bool { return len(d.security.Users) > 0 }

// SetUser adds or replaces a user: a changed token or permission holds from the next
// request on.
func (j *Jenkins) SetUser(u User) {
	j.doors.mu.Lock()
	defer j.doors.mu.Unlock()
	j.doors.users[strings.ToLower(u.Name)] = &u
}

// authenticate is the filter chain: session, then Basic header. It answers 401 itself
// and returns nil for wrong credentials.
func (d *doors) authenticate(w http.ResponseWriter, r *http.Request) *principal {
	if !d.realm() {
		return &principal{open: true}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	session := d.sessions[d.sessionID(r)]
	name, secret, offered, wellFormed := basic(r)
	if offered && !wellFormed {
		unauthorized(w, "Invalid Authorization header")
		return nil
	}
	if offered && (session == "" || !strings.EqualFold(session, name)) {
		u := d.users[strings.ToLower(name)]
		switch {
		case u != nil && slices.Contains(u.Tokens, secret):
			return &principal{name: u.Name, user: u, token: true}
		case u != nil && u.Password != "" && u.Password == secret:
			return &principal{name: u.Name, user: u}
		default:
			unauthorized(w, "Invalid password/token for user: "+name)
			return nil
		}
	}
	if u := d.users[strings.ToLower(session)]; session != "" && u != nil {
		return &principal{name: u.Name, user: u} // not marked as authenticated by token
	}
	return &principal{anonymous: d.security.Anonymous}
}

// basic splits the Authorization header at the first colon.
func basic(r *http.Request) (name, secret string, offered, wellFormed bool) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false, true
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", true, false
	}
	name, secret, found := strings.Cut(string(raw), ":")
	return name, secret, true, found
}

func unauthorized(w http.ResponseWriter, message string) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Jenkins"`)
	htmlPage(w, http.StatusUnauthorized, "Unauthorized", message)
}

func (d *doors) sessionID(r *http.Request) string {
	c, err := r.Cookie(d.cookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// session returns the id of the request's session and makes one if it has none.
func (d *doors) session(w http.ResponseWriter, r *http.Request) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.sessionID(r)
	if _, known := d.sessions[id]; known && id != "" {
		return id
	}
	return d.newSession(w, "")
}

func (d *doors) newSession(w http.ResponseWriter, user string) string {
	d.issued++
	sum := sha256.Sum256(fmt.Appendf(nil, "session %s %d", d.salt, d.issued))
	id := "node0" + hex.EncodeToString(sum[:12])
	d.sessions[id] = user
	http.SetCookie(w, &http.Cookie{Name: d.cookie, Value: id, Path: "/", HttpOnly: true}) //nolint:gosec // what Jenkins sends over plain HTTP
	return id
}

// crumb is bound to the user and the session (DefaultCrumbIssuer#issueCrumb).
func (d *doors) crumb(who *principal, session string) string {
	sum := sha256.Sum256([]byte(who.id() + ";" + session + d.salt))
	return hex.EncodeToString(sum[:])
}

const crumbField = "Jenkins-Crumb"

// crumbOK reports whether a POST may pass: by API token, or with the crumb of its
// session in header, query or form.
func (d *doors) crumbOK(r *http.Request, who *principal) bool {
	if d.security.NoCrumbs || who.token {
		return true
	}
	d.mu.Lock()
	id := d.sessionID(r)
	_, known := d.sessions[id]
	d.mu.Unlock()
	if !known {
		return false
	}
	given := r.Header.Get(crumbField)
	if given == "" {
		given = r.URL.Query().Get(crumbField)
	}
	if given == "" && formEncoded(r) {
		given = r.PostFormValue(crumbField)
	}
	return given == d.crumb(who, id)
}

func formEncoded(r *http.Request) bool {
	t := r.Header.Get("Content-Type")
	return strings.HasPrefix(t, "application/x-www-form-urlencoded") || strings.HasPrefix(t, "multipart/form-data")
}
