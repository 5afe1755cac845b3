// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// version is what the gates of this suite say they are of, so that one that was left behind is known.
const version = "live-suite"

var labels = gate.Labels{Cleanable: "cleanable", Dirty: "dirty", Clean: "clean"}

// said begins the lines that the suite's own scripts print for it.
const said = "pitcrew-live: "

// copiesScript counts what is registered of the gate, by kind, in one section of the queue's lock.
const copiesScript = `import hudson.model.ExecutorListener
import hudson.model.Queue
import hudson.model.queue.QueueListener
import hudson.model.queue.QueueTaskDispatcher
import hudson.slaves.ComputerListener
import jenkins.model.Jenkins
import jenkins.model.NodeListener

def copies = []
Queue.withLock({
    for (type in [QueueTaskDispatcher, QueueListener, ExecutorListener, ComputerListener, NodeListener]) {
        copies << Jenkins.get().getExtensionList(type).count { it.getClass().name.startsWith('Pitcrew') }
    }
    copies << Jenkins.get().actions.count { it.getClass().name == 'PitcrewGate' }
} as Runnable)
println '` + said + `copies ' + copies.join(' ')
`

// filesScript tells whose the gate's file in init.groovy.d is, and of other gates there.
const filesScript = `import jenkins.model.Jenkins

def all = new File(Jenkins.get().rootDir, 'init.groovy.d').listFiles({ File f -> f.name.endsWith('.groovy') } as FileFilter) ?: []
for (File f : all) {
    String text = f.getText('UTF-8')
    if (text.contains('class PitcrewRegistration')) println '` + said + `file ' + (text.contains('The gate of pitcrew ` + version + `:') ? 'ours ' : 'foreign ') + f
}
println '` + said + `looked'
`

// saveScript saves the queue, which Jenkins itself does a minute late.
const saveScript = `hudson.model.Queue.getInstance().save()
println '` + said + `saved'
`

// maintainScript times runs of the queue's maintenance, on a thread with a short stack and the rights of Jenkins' own: of a
// web request's thread they take three times as long.
const maintainScript = `import hudson.model.Queue
import hudson.security.ACL

def times = []
Thread.start {
    def context = ACL.as2(ACL.SYSTEM2)
    try {
        for (int i = 0; i < 15; i++) {
            long began = System.nanoTime()
            Queue.getInstance().maintain()
            times << System.nanoTime() - began
        }
    } finally {
        context.close()
    }
}.join()
println '` + said + `maintained ' + times.join(' ')
`

// script sends a script to the console, and returns what the lines say that are for us.
func (s *suite) script(ctx context.Context, text string) ([]string, error) {
	answer, err := s.client.RunScript(ctx, text)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(answer) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), said); ok {
			lines = append(lines, rest)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("the script console says %.300q", answer)
	}
	return lines, nil
}

// install registers the gate in the place of any other, and writes its file if so told.
func (s *suite) install(ctx context.Context, write bool) error {
	script, err := gate.InstallScript(version, labels, write)
	if err != nil {
		return err
	}
	answer, err := s.client.RunScript(ctx, script)
	if err != nil {
		return err
	}
	in, err := gate.ReadInstalled(answer, version, labels)
	switch {
	case err != nil:
		return err
	case in.Fault != "" || len(in.Others) > 0 || in.Same != (in.File != "") || write && !in.Same:
		return fmt.Errorf("the gate was registered, and %+v", in)
	}
	return nil
}

// remove takes the gate out, and its file.
func (s *suite) remove(ctx context.Context) error {
	answer, err := s.client.RunScript(ctx, gate.RemoveScript())
	if err == nil {
		_, err = gate.ReadRemoved(answer)
	}
	return err
}

// copies says an error unless exactly one copy of each of the gate's parts is registered.
func (s *suite) copies(ctx context.Context) error {
	lines, err := s.script(ctx, copiesScript)
	if err == nil && lines[0] != "copies 1 1 1 1 1 1" {
		err = fmt.Errorf("registered of the gate: %s, want one of each", lines[0])
	}
	return err
}

// console plays the script console of a jenkinstest, where no Groovy runs, and keeps its init.groovy.d.
type console struct {
	mu   sync.Mutex
	file bool // the gate is in init.groovy.d
}

func (c *console) options(o *jenkinstest.Options) { o.Boot, o.Script = c.boot, c.run }

func (c *console) boot(j *jenkinstest.Jenkins) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file {
		j.InstallGate(jenkinstest.GateOptions{Version: version})
	}
}

// run knows the scripts by their text.
func (c *console) run(j *jenkinstest.Jenkins, script string) (output string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, write := range []bool{false, true} {
		if known, err := gate.InstallScript(version, labels, write); err != nil || script == known {
			return c.install(j, write), 0
		}
	}
	const file = "init.groovy.d/" + gate.FileName
	switch script {
	case gate.RemoveScript():
		was, parts := "no file ", 0
		if c.file {
			was = "deleted "
		}
		if j.Registered("pitcrew gate") > 0 {
			parts = 6
		}
		c.file = false
		j.RemoveGate()
		return fmt.Sprintf("pitcrew-gate: %s%s\npitcrew-gate: unregistered %d\n", was, file, parts), 0
	case copiesScript:
		n := j.Registered("pitcrew gate") // which has all of them in one
		return fmt.Sprintf(said+"copies %d %d %d %d %d %d\n", n, n, n, n, n, n), 0
	case filesScript:
		if c.file {
			return said + "file ours " + file + "\n" + said + "looked\n", 0
		}
		return said + "looked\n", 0
	case saveScript:
		return said + "saved\n", 0
	}
	return "this script is not known here", http.StatusNotImplemented
}

func (c *console) install(j *jenkinstest.Jenkins, write bool) string {
	c.file = c.file || write
	hook, file := "console", ""
	text, err := gate.Script(version, labels)
	if err != nil {
		return err.Error()
	}
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	if c.file {
		hook, file = "console, and init script", "pitcrew-gate: file "+digest+" init.groovy.d/"+gate.FileName+"\n"
	}
	return "pitcrew-gate: text " + digest + "\n" + j.InstallGate(jenkinstest.GateOptions{Version: version, Hook: hook}) + "\npitcrew-gate: registered\n" + file
}
