// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// Version is the version of the recipe language that this package reads, of the programs it compiles, and of their
// reports.
const Version = 1

// Phase is one of the three parts of a recipe, run in the order clean, setup, verify.
type Phase string

// The phases. Every clean step runs, whatever happened to those before it. The setup phase is not begun after a failed
// clean step and stops at its own first failure. The verify phase is not begun after any failure, nor when a step asked
// for a reconnect or a reboot, because what it would prove is about to end; all its steps run.
const (
	Clean  Phase = "clean"
	Setup  Phase = "setup"
	Verify Phase = "verify"
)

// Phases returns all phases in the order in which they run.
func Phases() []Phase { return []Phase{Clean, Setup, Verify} }

// Recipe is a checked recipe.
type Recipe struct {
	Name        string
	Description string
	// Disjoint is the operator's promise that this recipe touches nothing outside its own agent's user and paths, so
	// that the agent may be cleaned while another agent of the same machine runs a real build.
	Disjoint bool
	// Places are the directories in which the program may unpack, tried in order. A place may begin with a reference
	// to one environment variable, as in "$WORKSPACE/tmp".
	Places []string
	// RebootCommand is the shell command that reboots the machine when a step asked for it.
	RebootCommand string
	// Owned is what on the machine belongs to continuous integration: all that goals may touch.
	Owned spec.Ownership
	// Platforms are those whose scrub the program carries, as GOOS/GOARCH, if any step has a goal.
	Platforms []string
	// Raise allows goals that need root to get it from sudo where the program is not root.
	Raise bool
	// Cache has scrub kept on the machine, where only root can write, so that the next program need not unpack it.
	Cache bool
	// Steps are the steps of all phases, in the order in which they run.
	Steps []Step
}

// Step is one step, whatever its kind: a command, what it needs, and the rules it runs under.
type Step struct {
	Name  string
	Phase Phase
	// Goal is what scrub has to reach; nil if the step is a script.
	Goal *spec.Goal
	// Before is the kind that a script of the clean phase runs before; "" means after all but the judgement of disks.
	Before spec.Kind
	// AsRoot has the step run as root: where the program is not, it is raised by sudo.
	AsRoot bool
	// Script is run as: Interpreter... script.
	Script      []byte
	Interpreter []string
	Limits      Limits
	Rules
	// Outcomes says what exit codes mean. A code that is not listed is a failure that may be retried, 0 is success.
	Outcomes map[int]StepOutcome
	// Env is added to the environment of the step, in the order of the file.
	Env []EnvVar
	// Files are unpacked into the directory in which the step starts.
	Files []File
}

// Limits bound how long and how often a step runs.
type Limits struct {
	// Timeout is how long one try may take, in whole seconds.
	Timeout time.Duration
	// Retries is how many tries may follow the first.
	Retries int
	// RetryDelay is the pause before each of them, in whole seconds.
	RetryDelay time.Duration
}

// EnvVar is one environment variable of a step.
type EnvVar struct{ Name, Value string }

// File is a file that a step carries with it.
type File struct {
	// Path is the path below the step's directory, slash-separated, the same as below the recipe's directory.
	Path       string
	Content    []byte
	Executable bool
}

// StepOutcome is how a step ended.
type StepOutcome string

// The outcomes of a step. A recipe may assign those marked so to exit codes.
const (
	StepOK        StepOutcome = "ok"        // assignable
	StepWarned    StepOutcome = "warned"    // assignable: worth a look, no failure
	StepFailed    StepOutcome = "failed"    // assignable: failed for good, without further tries
	StepReconnect StepOutcome = "reconnect" // assignable: done, and the agent must reconnect; reported as ok
	StepReboot    StepOutcome = "reboot"    // assignable: done, and the machine must reboot; reported as ok
	StepSkipped   StepOutcome = "skipped"   // its condition or the depth did not hold, or an earlier failure stands in its way
	StepTimeout   StepOutcome = "timeout"   // its limit passed and its session was ended
)

// When is the condition of a step; the zero When always holds. All parts that are set must hold.
type When struct {
	// Labels is matched against the labels of the agent.
	Labels labelexpr.Expr
	// These list words; one that begins with "!" must not apply. Of the others at least one must apply, of Tools all.
	// A word for the system may compare its version, as in "centos>=7". See Facts.
	OS, Arch, Virtualisation, PackageManager, Tools []string
	// Container is whether the program runs in a container.
	Container *bool
	// Root is whether the program runs as root, Sudo whether it may become root without a password.
	Root, Sudo *bool
}

// IsZero reports whether w holds everywhere.
func (w When) IsZero() bool {
	words := len(w.OS) + len(w.Arch) + len(w.Virtualisation) + len(w.PackageManager) + len(w.Tools)
	return w.Labels.IsZero() && words == 0 && w.Container == nil && w.Root == nil && w.Sudo == nil
}
