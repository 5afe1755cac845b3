// SPDX-License-Identifier: Apache-2.0
//
// Takes the gate out of a running Jenkins, by the script console: first the file, so that it does not come back, then all
// that is registered, in one section of the queue's lock. Labels stay as they are.

import hudson.model.ExecutorListener
import hudson.model.Queue
import hudson.model.queue.QueueListener
import hudson.model.queue.QueueTaskDispatcher
import hudson.slaves.ComputerListener
import java.nio.file.Files
import jenkins.model.Jenkins
import jenkins.model.NodeListener

Jenkins jenkins = Jenkins.get()
def file = jenkins.rootDir.toPath().resolve('init.groovy.d').resolve('@FILE@')
println '@SENTINEL@ ' + (Files.deleteIfExists(file) ? 'deleted ' : 'no file ') + file
def others = (file.parent.toFile().listFiles({ File f -> f.name.endsWith('.groovy') } as FileFilter) ?: []) + new File(jenkins.rootDir, 'init.groovy')
for (File other : others) if (other.isFile() && other.getText('UTF-8').contains('class PitcrewRegistration')) println '@SENTINEL@ another ' + other

int removed = 0
Queue.withLock({
    for (type in [QueueTaskDispatcher, QueueListener, ExecutorListener, ComputerListener, NodeListener]) {
        def all = jenkins.getExtensionList(type)
        for (one in all.findAll { it.getClass().name.startsWith('Pitcrew') }) if (all.remove(one)) removed++
    }
    for (one in jenkins.actions.findAll { it.getClass().name == 'PitcrewGate' }) if (jenkins.actions.remove(one)) removed++
    jenkins.servletContext.removeAttribute('pitcrew.gate')
} as Runnable)
println '@SENTINEL@ unregistered ' + removed
