// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func agentGroups() []group {
	return []group{{name: "agent program", behaviours: []behaviour{
		{"the secret belongs to the name, over deletion and re-creation", secretOfName},
		{"the JNLP file needs a permission, its encrypted form only the secret", jnlpFile},
		{"the WebSocket endpoint refuses unknown names with 400 and wrong secrets with 403", refusedHandshakes},
		{"all options may stand in one file", argumentFile},
		{"an agent whose name has spaces and parentheses connects and builds", oddAgent},
		{"a missing work directory ends an agent that must have it", missingWorkDir},
		{"an unknown option prints the usage", unknownOption},
	}}, {name: "agent loss", behaviours: []behaviour{
		{"a killed agent is noticed at once, its build fails and its children live on", killedAgent},
		{"a disconnected agent comes back by itself", disconnectedReturns},
		{"with -noReconnect a disconnected agent exits", disconnectedExits},
		{"a deleted node's agent goes on trying and returns when the node does", deletedNode},
	}}, {name: "agent refused", behaviours: []behaviour{
		{"a second agent of the same name is refused and goes on trying", duplicateAgent},
	}}, {name: "agent retries", behaviours: []behaviour{
		{"-noReconnect does not limit the first connection", firstConnection},
	}}, {name: "agent patience", behaviours: []behaviour{
		{"-noReconnectAfter limits the first connection", boundedFirstConnection},
	}}}
}

func secretOfName(p *probe) {
	name, path := p.node(nodeSpec{})
	first := p.secret(path)
	_, other := p.node(nodeSpec{})
	p.holds(p.secret(other) != first, "secret of another name", "differs", "the same")
	p.mustBe("delete", p.post(path+"/doDelete", nil), 302)
	p.node(nodeSpec{name: name})
	p.equal("secret after re-creation", p.secret(path) == first, true)
}

func jnlpFile(p *probe) {
	name, path := p.node(nodeSpec{})
	a := p.get(path + "/jenkins-agent.jnlp")
	p.holds(strings.HasPrefix(a.header.Get("Content-Type"), "application/x-java-jnlp-file"), "Content-Type",
		"application/x-java-jnlp-file", a.header.Get("Content-Type"))
	p.contains("second argument", a.body, "</argument><argument>"+name+"</argument>")
	p.contains("argument", a.body, "<argument>-webSocket</argument>")
	p.status("old name", p.get(path+"/slave-agent.jnlp"), 200)
	anonymous := p.suite.wire.as("", "")
	if s := p.sendBy(anonymous, "GET", path+"/jenkins-agent.jnlp", "", ""); s.status != 200 || !p.suite.target.Lasting {
		p.status("anonymous", s, 403) // else this controller lets everybody connect agents
	}
	p.status("unknown agent", p.get(computerPath(p.unique("none"))+"/jenkins-agent.jnlp"), 404)

	sealed := p.sendBy(anonymous, "GET", path+"/jenkins-agent.jnlp?encrypt=true", "", "")
	p.status("encrypted, anonymous", sealed, 200)
	p.contains("decrypted", decrypt(p, sealed.body, p.secret(path)), "<argument>"+name+"</argument>")
}

// decrypt opens a 16-byte IV followed by AES/CFB8 under the secret's first 16 bytes.
func decrypt(p *probe, sealed, secret string) string {
	key, err := hex.DecodeString(secret)
	if err != nil || len(key) < 16 || len(sealed) < 16 {
		p.differs("encrypted file", "16 bytes and more", excerpt(sealed))
		return ""
	}
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		p.Fatalf("make cipher: %v", err)
	}
	return cfb8(block, []byte(sealed[:16]), []byte(sealed[16:]))
}

func cfb8(block cipher.Block, register, sealed []byte) string {
	plain := make([]byte, len(sealed))
	pad := make([]byte, block.BlockSize())
	for i, c := range sealed {
		block.Encrypt(pad, register)
		plain[i] = c ^ pad[0]
		register = append(register[1:], c)
	}
	return string(plain)
}

// handshake asks for an upgrade as an agent does, and returns the status.
func (p *probe) handshake(name, secret string) int {
	p.Helper()
	header := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Node-Name": name, "Secret-Key": secret,
		// What remoting of today can do, as it puts it (hudson.remoting.Capability).
		"X-Remoting-Capability": "rO0ABXNyABpodWRzb24ucmVtb3RpbmcuQ2FwYWJpbGl0eQAAAAAAAAABAgABSgAEbWFza3hwAAAAAAAAAf4=",
	}
	a, err := p.suite.wire.as("", "").send(p.ctx, request{method: "GET", path: "/wsagents/", header: header})
	if err != nil {
		p.differs("handshake of "+name, "an answer", err.Error())
	}
	return a.status
}

func refusedHandshakes(p *probe) {
	name, path := p.node(nodeSpec{})
	secret := p.secret(path)
	p.equal("unknown name", p.handshake(p.unique("none"), secret), http.StatusBadRequest)
	p.equal("wrong secret", p.handshake(name, strings.Repeat("0", 64)), http.StatusForbidden)
}

func argumentFile(p *probe) {
	a := p.startAgent(agentSpec{argfile: true})
	a.waitOnline(p)
	info, err := os.Stat(filepath.Join(a.dir, "remoting"))
	p.holds(err == nil && info.IsDir(), "remoting below the work directory", "made", err)
}

func oddAgent(p *probe) {
	a := p.startAgent(agentSpec{tail: " (rack 3)"})
	a.waitOnline(p)
	_, job := p.job(jobSpec{label: `"` + a.name + `"`, shell: "#!/bin/sh\necho \"name:$NODE_NAME\"\n"})
	b, console := p.run(job)
	p.equal("builtOn", b.BuiltOn != nil && *b.BuiltOn == a.name, true)
	p.equal("NODE_NAME", lines(console, "name:"), []string{a.name})
}

func missingWorkDir(p *probe) {
	a := &agent{dir: filepath.Join(p.TempDir(), "missing")}
	a.name, a.path = p.node(nodeSpec{remoteFS: a.dir})
	a.secret = p.secret(a.path)
	pr := p.startProcess(a, false, "-failIfWorkDirIsMissing")
	p.until("end of the process", func() bool { return !pr.Alive() })
	p.holds(pr.Command.ProcessState.ExitCode() > 0, "exit status", "not 0", pr.Command.ProcessState.ExitCode())
}

func unknownOption(p *probe) {
	pr := p.startJava(filepath.Join(p.TempDir(), "log"), []string{"-nonsense"})
	p.until("end of the process", func() bool { return !pr.Alive() })
	p.equal("exit status", pr.Command.ProcessState.ExitCode(), 0)
	p.contains("output", pr.Output(), "java -jar agent.jar [options...]")
}

func killedAgent(p *probe) {
	p.agent = p.startAgent(agentSpec{})
	p.agent.waitOnline(p)
	dir := p.TempDir()
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\necho $$ > " + dir + "/shell\nsleep 120 & wait\n"})
	number := p.number(p.schedule(job))
	p.until("begin", func() bool { text, err := os.ReadFile(dir + "/shell"); return err == nil && len(text) > 1 })
	pid := p.childPID(dir, "shell")
	p.agent.process.Kill()
	began := time.Now()
	p.until("offline", func() bool { return p.computer(p.agent.path).Offline })
	p.holds(time.Since(began) < 5*time.Second, "time to notice", "under 5 s", time.Since(began))
	c := p.computer(p.agent.path)
	p.equal("temporarilyOffline", c.TemporarilyOffline, false)
	if c.OfflineCause == nil {
		p.differs("offlineCause", "ChannelTermination", "null")
	} else {
		p.equal("offlineCause", c.OfflineCause.Class, "hudson.slaves.OfflineCause$ChannelTermination")
	}
	p.equal("result", p.finish(job, number).result(), "FAILURE")
	p.equal("the build's shell lives", running(pid), true)

	p.agent.process = p.startProcess(p.agent, false)
	p.agent.waitOnline(p)
	p.until("idle", func() bool { return p.computer(p.agent.path).Idle })
	p.equal("the build's shell lives after the return", running(pid), true)
}

func disconnectedReturns(p *probe) {
	a := p.startAgent(agentSpec{})
	a.waitOnline(p)
	pid := a.process.Command.Process.Pid
	p.status("disconnect", p.post(a.path+"/doDisconnect", message("go away")), 302)
	p.until("trace of the loss", func() bool { return strings.Contains(a.process.Output(), "Terminated") })
	a.waitOnline(p)
	p.equal("process lives", a.process.Alive() && running(pid), true)
}

func disconnectedExits(p *probe) {
	a := p.startAgent(agentSpec{arguments: []string{"-noReconnect"}})
	a.waitOnline(p)
	p.status("disconnect", p.post(a.path+"/doDisconnect", message("go away")), 302)
	p.until("end of the process", func() bool { return !a.process.Alive() })
	p.equal("exit status", a.process.Command.ProcessState.ExitCode(), 0)
	p.until("offline", func() bool { return p.computer(a.path).Offline })
	c := p.computer(a.path)
	p.equal("temporarilyOffline", c.TemporarilyOffline, false)
	p.holds(c.OfflineCauseReason == "go away" || c.OfflineCauseReason == "Connection was broken", "reason",
		"the message, or that of the lost channel if that came last", c.OfflineCauseReason)
}

func deletedNode(p *probe) {
	a := p.startAgent(agentSpec{})
	a.waitOnline(p)
	p.mustBe("delete", p.post(a.path+"/doDelete", nil), 302)
	p.until("refusal", func() bool { return strings.Contains(a.process.Output(), "before retry") })
	p.equal("process lives", a.process.Alive(), true)
	p.node(nodeSpec{name: a.name, remoteFS: a.dir})
	a.waitOnline(p)
}

func duplicateAgent(p *probe) {
	a := p.startAgent(agentSpec{})
	a.waitOnline(p)
	p.equal("handshake of a second agent", p.handshake(a.name, a.secret), http.StatusBadRequest)
	second := p.startProcess(a, false, "-noReconnect")
	p.until("retries", func() bool { return strings.Count(second.Output(), "before retry") >= 2 })
	p.equal("second process lives", second.Alive(), true)
	p.equal("first agent is online", p.computer(a.path).Offline, false)
	a.process.Kill()
	p.until("the second takes over", func() bool { return strings.Contains(second.Output(), "Connected") })
	a.waitOnline(p)
}

func firstConnection(p *probe) {
	a := &agent{name: p.unique("late"), dir: p.TempDir()}
	a.path = computerPath(a.name)
	p.node(nodeSpec{name: a.name, remoteFS: a.dir})
	a.secret = p.secret(a.path)
	p.mustBe("delete", p.post(a.path+"/doDelete", nil), 302)
	pr := p.startProcess(a, false, "-noReconnect")
	p.until("third wait", func() bool { return strings.Count(pr.Output(), "before retry") >= 3 })
	p.equal("process lives", pr.Alive(), true)
	p.node(nodeSpec{name: a.name, remoteFS: a.dir})
	a.waitOnline(p)
}

func boundedFirstConnection(p *probe) {
	a := &agent{name: p.unique("never"), dir: p.TempDir(), secret: strings.Repeat("0", 64)}
	pr := p.startProcess(a, false, "-noReconnectAfter", "2s")
	p.until("end of the process", func() bool { return !pr.Alive() })
	p.contains("output", pr.Output(), "Bailing out after")
	p.equal("exit status", pr.Command.ProcessState.ExitCode(), 0)
}
