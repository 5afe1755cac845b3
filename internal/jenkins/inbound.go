// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"regexp"
)

const (
	maxAgentFile = 64 << 10 // a few arguments
	maxAgentJar  = 16 << 20 // it has about 1.4 MB
)

// AgentSecret returns the secret by which an agent proves its name when it connects: one request, two for Jenkins before
// 2.264. It belongs to the name for ever, the agent may be deleted and made again (jenkins.slaves.JnlpAgentReceiver); so it
// is in no error and no log of this client. It needs Agent/Connect.
func (c *Client) AgentSecret(ctx context.Context, name string) (string, error) {
	path, err := computerPath(name)
	if err != nil {
		return "", invalid("read secret", agentObject(name), err)
	}
	secret, err := c.readSecret(ctx, name, path+"/jenkins-agent.jnlp")
	if IsNotFound(err) { // its name in older versions; it is 404 for an agent that is not there, too
		secret, err = c.readSecret(ctx, name, path+"/slave-agent.jnlp")
	}
	return secret, err
}

func (c *Client) readSecret(ctx context.Context, name, path string) (secret string, err error) {
	err = c.do(ctx, request{
		op: "read secret", object: agentObject(name), method: http.MethodGet, path: path, limit: maxAgentFile, private: true,
	}, func(r *reply) error {
		text, err := io.ReadAll(r.body)
		if err != nil {
			return err
		}
		secret, err = secretOf(text, name)
		return err
	})
	return secret, err
}

var (
	hexSecret     = regexp.MustCompile(`^[0-9a-f]{32,128}$`) // an HMAC: 64 digits
	errNoSecret   = errors.New("the answer is no file for an inbound agent")
	errOtherAgent = errors.New("the answer is the file of another agent")
)

// secretOf reads an agent's file: the first argument is the secret, the second the name. Its errors tell nothing of it,
// as those of encoding/xml may.
func secretOf(text []byte, name string) (string, error) {
	var file struct {
		Arguments []string `xml:"application-desc>argument"`
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	if d.Decode(&file) != nil || len(file.Arguments) < 2 || !hexSecret.MatchString(file.Arguments[0]) {
		return "", errNoSecret
	}
	if file.Arguments[1] != name {
		return "", errOtherAgent
	}
	return file.Arguments[0], nil
}

// AgentJar returns the program that inbound agents of this controller run, at most 16 MB: one request. Jenkins gives it to
// everybody (hudson.model.Slave.JnlpJar).
func (c *Client) AgentJar(ctx context.Context) ([]byte, error) {
	var jar []byte
	err := c.do(ctx, request{
		op: "load agent.jar", method: http.MethodGet, path: "/jnlpJars/agent.jar", limit: maxAgentJar,
	}, func(r *reply) (err error) {
		if jar, err = io.ReadAll(r.body); err != nil {
			return err
		}
		if !bytes.HasPrefix(jar, []byte("PK\x03\x04")) {
			return &Error{Op: "load agent.jar", Status: r.status, Kind: KindPermanent, Err: errors.New("the answer is no archive of Java")}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return jar, nil
}
