// SPDX-License-Identifier: Apache-2.0

package loanjob

import (
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// keptBuilds is how many builds Jenkins keeps; the agent program stays with each.
const keptBuilds = 20

// FileParameter is the name of the file parameter by which agent.jar is sent.
const FileParameter = "PITCREW_LOAN_JAR"

// Spec describes the job that holds loans of one agent.
type Spec struct {
	// Name is the full name of the job, with the folders it is in.
	Name string
	// Agent is the agent that is lent: the job is tied to it by name.
	Agent string
	// Controller is the name by which the daemon knows the lender.
	Controller string
	// Owner identifies the daemon that the job belongs to; another one leaves it alone.
	Owner string
}

// RenderXML returns the job as config.xml.
func RenderXML(s Spec) ([]byte, error) {
	for what, text := range map[string]string{"name": s.Name, "agent": s.Agent, "controller": s.Controller, "owner": s.Owner} {
		if text == "" || !recipe.Storable(text) {
			return nil, fmt.Errorf("render job %q: %q is no %s", s.Name, text, what)
		}
	}
	job := recipe.FreeStyle{
		Description: "Holds loans of agent " + s.Agent + " to other controllers. Made by pitcrew, which changes nothing in it.\n" +
			recipe.OwnerLine(s.Owner) + "\nWho may configure this job may do everything on the agent.",
		Parameters: parameters(s), Agent: s.Agent, KeepBuilds: keptBuilds, Shell: string(Program()),
	}
	return job.XML(), nil
}

// Same reports whether a job's config.xml says what that of s says, however Jenkins has spelt it. Another one was changed
// by somebody, or written by another version of this program.
func Same(config []byte, s Spec) (bool, error) {
	want, err := RenderXML(s)
	if err != nil {
		return false, err
	}
	wanted, err := recipe.JobDigest(want)
	if err != nil {
		return false, err
	}
	got, err := recipe.JobDigest(config)
	return got == wanted, err
}

// Owner returns the owner that is written in a job's config.xml; it is empty if the job is not pitcrew's.
func Owner(config []byte) (string, error) { return recipe.SlotOwner(config) }

func parameters(s Spec) []recipe.Parameter {
	return []recipe.Parameter{
		{Name: "PITCREW_AGENT", Description: "The agent that the loan was issued for."},
		{Name: "PITCREW_CONTROLLER", Description: "The controller that it was issued for."},
		{Name: "PITCREW_ATTEMPT", Description: "The number of the attempt."},
		{Name: "PITCREW_NONCE", Description: "Proves that what is told of the end is of this loan.", Secret: true},
		{Name: "PITCREW_JOB_CONTROLLER", Value: s.Controller, Description: "The controller that this job was made for. Leave it alone."},
		{Name: "PITCREW_LOAN", Description: "The id of the loan."},
		{Name: "PITCREW_LOAN_URL", Description: "The root address of the borrower."},
		{Name: "PITCREW_LOAN_NODE", Description: "The name of the agent there."},
		{Name: "PITCREW_LOAN_DIR", Description: "The work directory, which must not exist; it is removed at the end."},
		{Name: "PITCREW_LOAN_USER", Description: "The account that the borrower's agent program runs as."},
		{Name: "PITCREW_LOAN_ISOLATION", Value: string(Required), Description: "required, preferred or none: whether it must be another account than the agent's."},
		{Name: "PITCREW_LOAN_JAR_SHA256", Description: "The SHA-256 of the borrower's agent program."},
		{Name: "PITCREW_LOAN_SECRET", Description: "The secret of the agent at the borrower.", Secret: true},
		{Name: "PITCREW_LOAN_LIMIT", Description: "After so many seconds the loan ends, whoever is dead by then."},
		{Name: "PITCREW_LOAN_ATTACH", Description: "So many seconds the agent program may take to connect."},
		{Name: "PITCREW_LOAN_CERT", Description: "The certificates to trust at the borrower, in PEM; may be empty."},
		{Name: FileParameter, Description: "The borrower's agent program, agent.jar.", File: true},
	}
}
