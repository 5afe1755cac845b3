// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// clientLoanedAgent: 200 or 302 is no proof, so each call of the client's has looked itself.
func clientLoanedAgent(p *probe) {
	c := p.client()
	n := jenkins.NodeSpec{Name: p.unique("n (ö)"), Description: "on loan <1>", RemoteFS: "/nonexistent", Labels: []string{"one", "two"}, Executors: 2}
	p.deleteAtEnd(computerPath(n.Name))
	p.noError("CreateInboundNode", c.CreateInboundNode(p.ctx, n))
	config, err := c.NodeConfig(p.ctx, n.Name)
	p.noError("NodeConfig", err)
	p.equal("mode", config.Mode, "EXCLUSIVE")
	p.equal("executors", config.Executors, 2)
	p.equal("launcher", config.LauncherClass, "hudson.slaves.JNLPLauncher")
	p.equal("retention", config.RetentionClass, "hudson.slaves.RetentionStrategy$Always")
	p.equal("labels", config.LabelString, "one two")
	err = c.CreateInboundNode(p.ctx, n)
	p.holds(errors.Is(err, jenkins.ErrNameTaken), "create again", "the name is taken", err)
	secret, err := c.AgentSecret(p.ctx, n.Name)
	p.noError("AgentSecret", err)
	p.equal("secret is the agent's", secret == p.secret(computerPath(n.Name)), true)
	jar, err := c.AgentJar(p.ctx)
	p.noError("AgentJar", err)
	p.holds(len(jar) > 1000, "agent.jar", "an archive", len(jar))
	p.noError("DeleteNode", c.DeleteNode(p.ctx, n.Name))
	p.noError("DeleteNode again", c.DeleteNode(p.ctx, n.Name))
	_, err = c.AgentSecret(p.ctx, n.Name)
	p.holds(jenkins.IsNotFound(err), "AgentSecret after deletion", "not found", err)
}
