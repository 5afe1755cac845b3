// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
)

func (c *call) login() { c.page("Sign in") }

func (c *call) logout() { c.redirect("") }

// formLogin starts a session that carries the login.
func (c *call) formLogin() {
	if !c.isPOST() {
		return
	}
	d := &c.j.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[strings.ToLower(c.r.PostFormValue("j_username"))]
	if u == nil || u.Password == "" || u.Password != c.r.PostFormValue("j_password") {
		c.redirect("loginError")
		return
	}
	d.newSession(c.w, u.Name)
	c.redirect("")
}

func (c *call) whoAmI() {
	if !c.isAPI() {
		c.page("Who Am I?")
		return
	}
	anonymous := c.who.name == ""
	c.api("hudson.security.WhoAmI", func(o *object) {
		o.Bool("anonymous", func() bool { return anonymous })
		o.Bool("authenticated", func() bool { return true })
		if _, shown := o.p.property("authorities", 1); shown {
			o.key("authorities")
			o.w.buf = append(o.w.buf, `["authenticated"]`...)
		}
		o.Str("name", c.who.id)
		o.Str("toString", c.who.id)
	})
}

func (c *call) me() { c.person(c.who.id()) }

// userPage serves a user's bean and the API token descriptor.
func (c *call) userPage() {
	id := c.next()
	if len(c.path) == 3 && c.path[0] == "descriptorByName" && c.path[1] == "jenkins.security.ApiTokenProperty" {
		c.tokenAction(id, c.path[2])
		return
	}
	c.person(id)
}

func (c *call) person(id string) {
	if !c.isAPI() {
		c.page(id)
		return
	}
	c.api("hudson.model.User", func(o *object) {
		o.Str("absoluteUrl", func() string { return o.w.base + "user/" + pathEscape(id) })
		o.Str("fullName", func() string { return id })
		o.Str("id", func() string { return id })
	})
}

// tokenAction is generateNewToken and revoke.
func (c *call) tokenAction(id, action string) {
	if !c.isPOST() {
		return
	}
	if !strings.EqualFold(c.who.name, id) && !c.who.can(Administer) {
		c.denied(Administer)
		return
	}
	d := &c.j.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[strings.ToLower(id)]
	if u == nil {
		c.notFound()
		return
	}
	switch action {
	case "generateNewToken":
		d.issued++
		sum := sha256.Sum256(fmt.Appendf(nil, "token %s %d", d.salt, d.issued))
		value := "11" + hex.EncodeToString(sum[:16])
		changed := *u
		changed.Tokens = append(slices.Clip(changed.Tokens), value)
		d.users[strings.ToLower(id)] = &changed
		c.json(map[string]any{"status": "ok", "data": map[string]string{
			"tokenName": c.field("newTokenName"), "tokenUuid": tokenUUID(value), "tokenValue": value, "expirationDate": "never",
		}})
	case "revoke":
		changed := *u
		changed.Tokens = nil
		for _, t := range u.Tokens {
			if tokenUUID(t) != c.field("tokenUuid") {
				changed.Tokens = append(changed.Tokens, t)
			}
		}
		d.users[strings.ToLower(id)] = &changed
		c.empty(http.StatusOK)
	default:
		c.notFound()
	}
}

func tokenUUID(token string) string {
	sum := sha256.Sum256([]byte("uuid " + token))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (c *call) json(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		c.oops()
		return
	}
	c.w.Header().Set("Content-Type", "application/json;charset=utf-8")
	_, _ = c.w.Write(data) // the client went away
}

// crumbIssuer makes a session and a crumb bound to it.
func (c *call) crumbIssuer() {
	if c.j.doors.security.NoCrumbs || !c.isAPI() {
		c.notFound()
		return
	}
	if !c.allowed(Read) {
		return
	}
	session := c.j.doors.session(c.w, c.r)
	c.api("hudson.security.csrf.DefaultCrumbIssuer", func(o *object) {
		o.Str("crumb", func() string { return c.j.doors.crumb(c.who, session) })
		o.Str("crumbRequestField", func() string { return crumbField })
	})
}

func (c *call) health() {
	if !c.slash {
		c.redirect("health/")
		return
	}
	if !c.j.version.since(506) {
		c.notFound()
		return
	}
	c.json(map[string]bool{"status": true})
}

// tcpListener: the TCP port for agents is disabled.
func (c *call) tcpListener() { c.notFound() }

// createView is accepted and forgotten: only the view of all jobs exists.
func (c *call) createView() {
	if c.isPOST() && c.allowed(ViewCreate) {
		c.redirect("view/" + pathEscape(c.field("name")) + "/")
	}
}

func (c *call) pluginManager() {
	if !c.isAPI() {
		c.page("Plugins")
		return
	}
	names := c.j.opts.Plugins
	c.api("hudson.LocalPluginManager", func(o *object) {
		o.List("plugins", 1, false, func() int { return len(names) }, func(i int, w *exportWriter, p pruner) {
			in := w.begin(p, "")
			in.Bool("active", func() bool { return true })
			in.Bool("enabled", func() bool { return true })
			in.Str("longName", func() string { return names[i] })
			in.Str("shortName", func() string { return names[i] })
			in.Str("version", func() string { return "1.0" })
			in.end()
		})
	})
}

// agentFileEncrypted reports whether the request is for an encrypted agent file, which
// needs no permission at all.
func (c *call) agentFileEncrypted() bool {
	return len(c.path) == 3 && c.path[0] == "computer" && c.path[2] == "jenkins-agent.jnlp" && c.r.URL.Query().Get("encrypt") == "true"
}

// agentFile is the document an inbound agent starts from: secret first, then name.
func (c *call) agentFile(comp *computer) {
	if c.path[0] == "jenkins-agent.jnlp" && !c.j.version.since(264) || comp.builtIn() {
		c.notFound()
		return
	}
	encrypted := c.r.URL.Query().Get("encrypt") == "true"
	if !encrypted && !c.allowed(AgentConnect) {
		return
	}
	info, err := c.j.AgentInfo(comp.name)
	if err != nil {
		c.notFound()
		return
	}
	args := []string{info.Secret, info.Name, "-webSocket", "-workDir", info.RemoteFS, "-internalDir", "remoting", "-url", c.rootURL()}
	var doc strings.Builder
	doc.WriteString("<jnlp><application-desc>")
	for _, a := range args {
		doc.WriteString("<argument>" + html.EscapeString(a) + "</argument>")
	}
	doc.WriteString("</application-desc></jnlp>")
	c.w.Header().Set("Content-Type", "application/x-java-jnlp-file")
	out := []byte(doc.String())
	if encrypted {
		out = encryptAgentFile(out, info.Secret)
	}
	_, _ = c.w.Write(out) // the client went away
}

// encryptAgentFile is AES/CFB8 under the first half of the secret, after 16 bytes of IV
// (jenkins.slaves.EncryptedSlaveAgentJnlpFile).
func encryptAgentFile(plain []byte, secret string) []byte {
	key, err := hex.DecodeString(secret)
	if err != nil {
		return nil
	}
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		return nil
	}
	iv := sha256.Sum256(plain)
	return append(append([]byte{}, iv[:16]...), cfb8(block, iv[:16], plain)...)
}

func cfb8(block cipher.Block, iv, plain []byte) []byte {
	shift, pad := append([]byte{}, iv...), make([]byte, block.BlockSize())
	out := make([]byte, len(plain))
	for i, b := range plain {
		block.Encrypt(pad, shift)
		out[i] = b ^ pad[0]
		shift = append(shift[1:], out[i])
	}
	return out
}
