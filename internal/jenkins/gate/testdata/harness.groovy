// SPDX-License-Identifier: Apache-2.0
//
// Runs the gate in a Jenkins of stubs: one command per line, a JSON object on standard input, one answer on standard output.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import hudson.init.InitMilestone
import hudson.model.*
import hudson.model.labels.LabelAtom
import hudson.model.queue.*
import hudson.remoting.VirtualChannel
import hudson.security.AccessControlled
import hudson.slaves.ComputerListener
import java.util.concurrent.ThreadLocalRandom
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicLong
import java.util.logging.Handler
import java.util.logging.LogRecord
import java.util.logging.Logger
import jenkins.model.Jenkins
import jenkins.model.NodeListener
import org.jenkinsci.plugins.durabletask.executors.ContinuedTask
import org.kohsuke.stapler.StaplerRequest
import org.kohsuke.stapler.StaplerRequest2
import org.kohsuke.stapler.StaplerResponse
import org.kohsuke.stapler.StaplerResponse2

class Channel implements VirtualChannel {}

class Agent extends Slave {
    Map broken = [:] // by method: what is thrown
    int saves

    Agent(String name, int executors, Node.Mode mode, String labels) { super(name, executors, mode, labels) }

    private void may(String what) { if (broken[what]) throw (broken[what] == 'error' ? new StackOverflowError(what) : new IllegalStateException(what)) }

    String getLabelString() { may('labels'); super.getLabelString() }

    void save() throws IOException {
        if (broken.save) throw new IOException('No space left on device')
        if (Thread.currentThread().interrupted) throw new java.nio.channels.ClosedByInterruptException() // hudson.util.FileChannelWriter
        saves++
    }
}

class OtherAgent extends Agent {
    OtherAgent(String name, int executors, Node.Mode mode, String labels) { super(name, executors, mode, labels) }
}

class AgentComputer extends Computer {
    String name
    volatile VirtualChannel channel
    boolean broken

    AgentComputer(String name, int count) {
        this.name = name
        count.times { this.@executors.add(new Executor(this, it)) }
    }

    VirtualChannel getChannel() {
        if (broken) throw new IllegalStateException('channel')
        channel
    }

    Node getNode() { Jenkins.get().getNode(name) }

    void replace(Executor executor) { // when its work has ended, the new one goes to the end of the list
        if (this.@oneOffExecutors.remove(executor)) return
        if (this.@executors.remove(executor)) this.@executors.add(new Executor(this, executor.number))
    }

    OneOffExecutor oneOff() {
        def e = new OneOffExecutor(this)
        e.used = true
        this.@oneOffExecutors.add(e)
        e
    }

    void resize(int count) { // lowering it replaces all that are idle
        this.@executors.removeIf { it.idle }
        while (executors.size() < count) this.@executors.add(new Executor(this, executors.size()))
    }
}

class Parameter extends ParameterValue {
    final Object value
    Parameter(String name, Object value) { super(name); this.value = value }
    Object getValue() { value }
}

class Job implements Queue.Task, Item {
    String fullName
    String getDisplayName() { fullName }
    Label label
    String getFullDisplayName() { fullName }
    Label getAssignedLabel() { label }
}

class Flyweight extends Job implements Queue.FlyweightTask {}

class Plain implements Queue.Task {
    String name
    Label label
    String getFullDisplayName() { name }
    Label getAssignedLabel() { label }
}

class Returning extends Plain implements ContinuedTask, AccessControlled {
    String getDisplayName() { name }
    boolean back = true
    boolean isContinued() { back }
}

class Build extends Run {
    String url
    hudson.model.Job parent = new BuiltJob()
}

class BuiltJob extends hudson.model.Job {
    String fullName = 'a job', displayName = 'a job'
}

/** A part of a Pipeline, as PlaceholderExecutable of workflow-durable-task-step. */
class Part implements Queue.Executable {
    Queue.Executable parentExecutable
}

class World {
    final String script
    Map<Long, List> items = [:]
    Map<String, Executor> running = [:]
    long last
    final Logger logger = Logger.getLogger('pitcrew.gate') // which is forgotten, and set back, unless somebody holds it
    final List<LogRecord> log = Collections.synchronizedList([])

    World(String script) {
        this.script = script
        logger.useParentHandlers = false
        logger.addHandler(new Handler() {
            void publish(LogRecord record) { log.add(record) }
            void flush() {}
            void close() {}
        })
    }

    // GroovyHookScript compiles with no imports; the console adds some, which must not matter. Each evaluation has classes of its own;
    // only a Jenkins that is booted anew gets those of its predecessor, which it cannot know, to save the time.
    Class booted

    private compile() { new GroovyShell(getClass().classLoader).parse(script, 'PitcrewGateScript.groovy').getClass() }

    private evaluate(Class compiled) {
        def out = new StringWriter()
        def binding = new Binding(out: new PrintWriter(out))
        def run = compiled.newInstance()
        run.binding = binding
        run.run()
        out.toString().trim()
    }

    def boot(c) {
        items.clear()
        last = 0
        running.clear()
        Queue.instance.queued.clear()
        Jenkins.boot()
        Jenkins.get().computers[Jenkins.get()] = new AgentComputer('', 0)
        Jenkins.get().computers[Jenkins.get()].channel = new Channel()
        booted = booted ?: compile()
        def said = evaluate(booted)
        Jenkins.get().initLevel = InitMilestone.COMPLETED
        said
    }

    // What the script console prints (hudson.util.RemotingDiagnostics.Script#call).
    def console(c) {
        Jenkins.get().rootDir = new File(c.home)
        def out = new StringWriter()
        def printer = new PrintWriter(out)
        try {
            def said = new GroovyShell(getClass().classLoader, new Binding(out: printer)).evaluate(c.script as String)
            if (said != null) printer.println('Result: ' + said)
        } catch (Throwable e) {
            e.printStackTrace(printer)
        }
        out.toString()
    }

    // A start with what is in the home directory (jenkins.util.groovy.GroovyHookScript#run).
    def start_from(c) {
        boot(c)
        remove_all()
        def out = new StringWriter()
        def files = new File(c.home, 'init.groovy.d').listFiles({ it.name.endsWith('.groovy') } as FileFilter) ?: []
        for (File f : files.sort()) new GroovyShell(getClass().classLoader, new Binding(out: new PrintWriter(out))).evaluate(new GroovyCodeSource(f))
        Jenkins.get().initLevel = InitMilestone.COMPLETED
        out.toString().trim()
    }

    private remove_all() {
        Jenkins.boot()
        Jenkins.get().computers[Jenkins.get()] = new AgentComputer('', 0)
    }

    def register(c) { evaluate(compile()) }

    // The same, by what Jenkins' start makes of it: what is no RuntimeException ends that (jenkins.util.groovy.GroovyHookScript#execute).
    def registerBroken(c) {
        Jenkins.get().broken = [error: new NoSuchMethodError('gone'), checked: new java.util.concurrent.TimeoutException('slow')][c.how]
        try {
            return evaluate(compile())
        } catch (RuntimeException e) {
            return 'logged: ' + e
        } catch (Throwable e) {
            return 'Jenkins does not start: ' + e
        } finally {
            Jenkins.get().broken = null
        }
    }

    def extensions(c) {
        def j = Jenkins.get()
        [QueueTaskDispatcher, QueueListener, ExecutorListener, ComputerListener, NodeListener].collectEntries { [it.simpleName, j.getExtensionList(it).size()] } + [actions: j.actions.size()]
    }

    // How many were left, at least, when one was taken out, and how often the queue's lock was taken.
    def counts(c) { [fewest: Jenkins.get().fewest, sections: Queue.sections] }

    // With quiet, nobody is told: what a listener would have said has to be seen without it.
    def node(c) {
        def n = (c.other ? OtherAgent : Agent).newInstance(c.name, c.executors ?: 1, (c.normal ? Node.Mode.NORMAL : Node.Mode.EXCLUSIVE), c.labels)
        def j = Jenkins.get()
        def old = j.byName.put(c.name, n)
        def computer = old == null ? null : j.computers.remove(old)
        if (computer == null || c.fresh || old.getClass() != n.getClass()) computer = new AgentComputer(c.name, c.executors ?: 1)
        if (computer.executors.size() != (c.executors ?: 1)) computer.resize(c.executors ?: 1)
        j.computers[n] = computer
        j.trimLabels()
        if (!c.offline && computer.channel == null) connect(c)
        if (old != null && !c.quiet) NodeListener.fireOnUpdated(old, n)
        null
    }

    // Its name is changed, and its labels in the same edit: the computer of the new name is another one (Nodes.replaceNode).
    def rename(c) {
        def j = Jenkins.get()
        def old = j.byName.remove(c.name)
        j.computers.remove(old)
        def n = new Agent(c.to, old.numExecutors, old.mode, c.labels)
        j.byName.put(c.to, n)
        j.computers[n] = new AgentComputer(c.to, n.numExecutors)
        j.trimLabels()
        NodeListener.fireOnUpdated(old, n)
        connect([name: c.to])
    }

    // What the gate has written to Jenkins' log since this was asked last.
    def logged(c) {
        def all = log.collect { it.level.name + ' ' + it.message + ': ' + it.thrown }
        log.clear()
        all
    }

    def remove(c) {
        def n = Jenkins.get().byName.remove(c.name)
        Jenkins.get().computers.remove(n)
        Jenkins.get().trimLabels()
        NodeListener.fireOnDeleted(n)
        null
    }

    private AgentComputer computer(String name) { name == '' ? Jenkins.get().toComputer() : Jenkins.get().getNode(name).toComputer() }

    def connect(c) {
        computer(c.name).channel = new Channel()
        if (!c.quiet) Jenkins.get().getExtensionList(ComputerListener).each { it.onOnline(computer(c.name), null) }
        null
    }

    def disconnect(c) {
        computer(c.name).channel = null
        if (!c.quiet) Jenkins.get().getExtensionList(ComputerListener).each { it.onOffline(computer(c.name), null) }
        null
    }

    // Whether Jenkins takes the node for one of the label's.
    def believes(c) { Jenkins.get().getLabelAtom(c.label).contains(Jenkins.get().getNode(c.name)) }

    // How many executors the built-in node has, whether it is EXCLUSIVE, and whether it takes anything.
    def builtIn(c) {
        def j = Jenkins.get()
        j.numExecutors = c.executors ?: 0
        j.mode = c.normal ? Node.Mode.NORMAL : Node.Mode.EXCLUSIVE
        j.refuses = c.refuses ? new CauseOfBlockage() { String getShortDescription() { 'no' } } : null
        null
    }

    // Somebody's edit of the labels alone, in place and without a word to anybody.
    def relabel(c) { Jenkins.get().getNode(c.name).setLabelString(c.labels); null }

    def breaks(c) {
        if (c.what == 'channel') computer(c.name).broken = c.how as boolean
        else Jenkins.get().getNode(c.name).broken[c.what] = c.how
        null
    }

    def view(c) {
        def n = Jenkins.get().getNode(c.name)
        [labels: n.labelString, saves: n.saves, updates: Jenkins.get().updates, resets: ['cleanable', 'dirty', 'clean'].collect { Jenkins.get().getLabelAtom(it).resets }]
    }

    def queue(c) {
        Label label = c.label == null ? null : Jenkins.get().getLabelAtom(c.label)
        def task = [job: { new Job(fullName: c.task, label: label) }, flyweight: { new Flyweight(fullName: c.task, label: label) },
            plain: { new Plain(name: c.task, label: label) }, returning: { new Returning(name: c.task, label: label) },
            begun: { new Returning(name: c.task, label: label, back: false) }][c.kind]()
        def actions = c.attempt == null ? [] : [new ParametersAction([new Parameter('X', 'y'), new Parameter('PITCREW_ATTEMPT', c.attempt)])]
        long id = ++last
        items[id] = [task, actions]
        if (!c.loose) Queue.instance.queued.add(new Queue.BuildableItem(task, actions, id))
        id
    }

    private first(Closure ask) {
        CauseOfBlockage cause = null
        Queue.withLock({ Jenkins.get().getExtensionList(QueueTaskDispatcher).each { cause = cause ?: ask(it) } } as Runnable)
        cause?.shortDescription
    }

    def take(c) {
        def (task, actions) = items[c.item as long]
        first { it.canTake(c.name == '' ? Jenkins.get() : Jenkins.get().getNode(c.name), new Queue.BuildableItem(task, actions, c.item as long)) }
    }

    def may(c) {
        def (task, actions) = items[c.item as long]
        def stage = [waiting: Queue.WaitingItem, blocked: Queue.BlockedItem][c.stage] ?: Queue.BuildableItem
        first { it.canRun(stage.newInstance(task, actions, c.item as long)) }
    }

    // What an executor has from when it is chosen (hudson.model.Executor#start).
    private unit(long id) {
        def (task, actions) = items[id]
        new WorkUnit(new WorkUnitContext(new Queue.BuildableItem(task, actions, id)))
    }

    def left(long id, Executor executor, boolean cancelled) {
        def (task, actions) = items[id]
        Queue.instance.queued.removeIf { it.id == id }
        Queue.withLock({
            if (executor != null) executor.unit = unit(id)
            Executor.as(executor, { Jenkins.get().getExtensionList(QueueListener).each { it.onLeft(new Queue.LeftItem(task, actions, id, cancelled)) } } as Runnable)
        } as Runnable)
    }

    def start(c) {
        AgentComputer computer = computer(c.name)
        Executor executor = c.flyweight ? computer.oneOff() : computer.executors.find { it.idle }
        if (executor == null) return 'no executor'
        executor.used = true
        running["${c.name} ${c.item}" as String] = executor
        if (c.interrupted) Thread.currentThread().interrupt() // as of a build that is stopped in that moment
        left(c.item as long, executor, false)
        c.interrupted && !Thread.interrupted() ? 'nobody knows any more that it was stopped' : null
    }

    // Its build exists: that of a job, of a part of a Pipeline, or of something else.
    def begun(c) {
        Executor executor = running["${c.name} ${c.item}" as String]
        if (executor == null) return 'no executor'
        def (task, actions) = items[c.item as long]
        def whole = c.build == null ? null : new Build(url: c.build)
        executor.executable = c.part ? new Part(parentExecutable: whole) : whole
        Jenkins.get().getExtensionList(ExecutorListener).each { it.taskStarted(executor, task) }
        null
    }

    def again(c) { left(c.item as long, running["${c.name} ${c.item}" as String], false); null } // another work unit of the same item

    def cancel(c) { left(c.item as long, null, true); null }

    def end(c) {
        Executor executor = running.remove("${c.name} ${c.item}" as String)
        def (task, actions) = items[c.item as long]
        if (!c.late) executor.owner.replace(executor)
        Jenkins.get().getExtensionList(ExecutorListener).each { c.problem ? it.taskCompletedWithProblems(executor, task, 1, new Exception()) : it.taskCompleted(executor, task, 1) }
        null
    }

    def giveBack(c) { def e = running.remove("${c.name} ${c.item}" as String); e.owner.replace(e); null }

    def assign(c) { // an executor has been chosen, its thread has not begun
        Executor executor = computer(c.name).executors.find { it.idle }
        if (executor == null) return 'no executor'
        executor.used = true
        executor.unit = unit(c.item as long)
        running["${c.name} ${c.item}" as String] = executor
        null
    }

    // Asked by the servlet interfaces of before 2.475 if old.
    private answer(List permissions, boolean old = false, Closure ask) {
        AccessControlled.GRANTED.set(permissions == null ? null : permissions as Set)
        try {
            def sent = [:]
            def body = new ByteArrayOutputStream()
            def response = [setStatus: { sent.code = it }, setContentType: { sent.type = it }, setContentLength: { sent.length = it }, getOutputStream: { body }]
            if (old) ask().generateResponse((StaplerRequest) null, response as StaplerResponse, null)
            else ask().generateResponse((StaplerRequest2) null, response as StaplerResponse2, null)
            sent + [body: new String(body.toByteArray(), 'UTF-8')]
        } catch (hudson.security.AccessDeniedException3 e) {
            [code: 403, body: e.message]
        } finally {
            AccessControlled.GRANTED.remove()
        }
    }

    private gate() { Jenkins.get().actions.find { it.urlName == 'pitcrew-gate' } }

    def call(c) { answer(c.as) { gate()."do${c.verb.capitalize()}"(c.request) } }

    def status(c) { answer(c.as, c.old as boolean) { gate().doStatus() } }

    def events(c) { answer(c.as) { gate().doEvents(c.session, c.since, c.wait) } }

    // Events that are waited for while a request changes something after so many milliseconds, or nothing does: the answer, and how long it took.
    def awaited(c) {
        def answer = null
        long began = System.nanoTime(), took = 0
        def waiter = Thread.start {
            answer = this.events(c)
            took = System.nanoTime() - began
        }
        if (c.request != null) {
            Thread.sleep(c.after as long)
            began = System.nanoTime()
            this.call(c)
        }
        waiter.join()
        [answer: answer, millis: TimeUnit.NANOSECONDS.toMillis(took)]
    }

    // Which methods answer to GET as well, and which parameters they say they have.
    def methods(c) {
        gate().getClass().declaredMethods.findAll { it.name.startsWith('do') }.collectEntries { m ->
            [m.name, [post: m.isAnnotationPresent(org.kohsuke.stapler.interceptor.RequirePOST), parameters: m.parameterAnnotations.collect { it*.value().join('') }]]
        }
    }

    // Jenkins with all its threads: two that dispatch, executors that begin and end, whoever cleans, edits of nodes and labels, connections
    // that are lost, and copies of the gate that take each other's place. A build is contaminated if it is not the first since a cleaning, and
    // beside one if either begins while the other is under way.
    def race(c) {
        def names = (1..3).collect { "r$it" as String }
        for (name in names) node([name: name, labels: 'cleanable', executors: 2, normal: true])
        def uses = names.collectEntries { [it, new AtomicInteger(1)] } // since it was cleaned
        def running = names.collectEntries { [it, new AtomicInteger()] }, cleaning = names.collectEntries { [it, new AtomicInteger()] }
        def beside = new AtomicInteger()
        def attempts = new AtomicLong(), ids = new AtomicLong(1000), begun = new AtomicInteger(), bad = new AtomicInteger(), granted = new AtomicInteger()
        def faults = Collections.synchronizedList([])
        def verb = { String what, String name, Map more ->
            String body = this.call([verb: what, request: JsonOutput.toJson([protocol: 1, owner: 'daemon', agents: [[agent: name] + more]])]).body
            new JsonSlurper().parseText(body).results[0].result
        }
        for (name in names) if (verb('claim', name, [attempt: attempts.incrementAndGet()]) != 'ok') faults << 'not claimed'
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(c.millis as long)
        def all = []
        def threads = Collections.synchronizedList(all)
        def doing = { String who, Closure what ->
            threads << Thread.start(who) {
                try {
                    while (System.nanoTime() < end) what(ThreadLocalRandom.current())
                } catch (Throwable e) {
                    faults << who + ': ' + e
                }
            }
        }
        def run = { AgentComputer computer, Executor executor, Queue.BuildableItem item ->
            boolean runs = false
            Queue.withLock({
                if (computer.channel == null || computer.node == null) return // given back (hudson.model.Executor#run)
                runs = true
                begun.incrementAndGet()
                running[computer.name].incrementAndGet()
                if (cleaning[computer.name].get() > 0) beside.incrementAndGet()
                if (uses[computer.name].getAndIncrement() > 0) bad.incrementAndGet()
                Executor.as(executor, {
                    Jenkins.get().getExtensionList(QueueListener).each { it.onLeft(new Queue.LeftItem(item.task, [], item.id, false)) }
                } as Runnable)
            } as Runnable)
            if (runs) {
                Thread.sleep(0, 200_000)
                running[computer.name].decrementAndGet()
                Jenkins.get().getExtensionList(ExecutorListener).each { it.taskCompleted(executor, item.task, 1) }
            }
            Queue.withLock({ computer.replace(executor) } as Runnable)
        }
        2.times {
            doing('dispatch') { random ->
                String name = names[random.nextInt(names.size())]
                Queue.withLock({
                    Node node = Jenkins.get().getNode(name)
                    AgentComputer computer = node.toComputer()
                    computer.executors.findAll { it.idle }.each { Executor executor ->
                        def item = new Queue.BuildableItem(new Job(fullName: 'app'), [], ids.incrementAndGet())
                        if (Jenkins.get().getExtensionList(QueueTaskDispatcher).any { it.canTake(node, item) != null }) return
                        executor.used = true // which is what counts from here on, until the lock is free and its thread runs
                        threads << Thread.start {
                            try {
                                run(computer, executor, item)
                            } catch (Throwable e) {
                                faults << 'executor: ' + e
                            }
                        }
                    }
                } as Runnable)
                Thread.sleep(0, 100_000)
            }
        }
        names.each { String name ->
            doing('clean') { random ->
                long attempt = attempts.incrementAndGet()
                if (verb('claim', name, [attempt: attempt]) == 'ok') {
                    cleaning[name].set(1)
                    if (running[name].get() > 0) beside.incrementAndGet()
                    int before = uses[name].get()
                    Thread.sleep(0, 300_000)
                    cleaning[name].set(0)
                    if (uses[name].compareAndSet(before, 0)) { // nothing began meanwhile
                        while (System.nanoTime() < end) {
                            String said = verb('grant', name, [attempt: attempt])
                            if (said == 'ok') granted.incrementAndGet()
                            if (said != 'busy') break
                        }
                    }
                }
                Thread.sleep(1)
            }
        }
        doing('edit') { random ->
            String name = names[random.nextInt(names.size())], labels = ['cleanable', 'cleanable clean', 'clean', 'clean cleanable foo', 'dirty clean cleanable'][random.nextInt(5)]
            if (random.nextBoolean()) Jenkins.get().getNode(name).setLabelString(labels)
            else Queue.withLock({ node([name: name, labels: labels, executors: 2, normal: true, offline: true]) } as Runnable)
            Thread.sleep(random.nextInt(40))
        }
        doing('connection') { random ->
            String name = names[random.nextInt(names.size())]
            disconnect([name: name])
            connect([name: name])
            Thread.sleep(random.nextInt(60))
        }
        doing('register') { random ->
            evaluate(booted)
            Thread.sleep(random.nextInt(40))
        }
        while (true) {
            Thread one = null
            synchronized (threads) { if (!all.isEmpty()) one = all.remove(0) }
            if (one == null) break
            one.join()
        }
        [begun: begun.get(), contaminated: bad.get(), beside: beside.get(), granted: granted.get(), faults: faults]
    }

    // What it costs, in nanoseconds, that a build begins on a clean agent, without the time that a disk takes: median of so many.
    def consumption(c) {
        def (task, actions) = items[c.item as long]
        def left = new Queue.LeftItem(task, actions, c.item as long, false)
        long attempt = 0
        def took = (1..(c.times as int)).collect {
            attempt++
            for (verb in ['claim', 'grant']) {
                def said = this.call([verb: verb, request: JsonOutput.toJson([protocol: 1, owner: 'daemon', agents: [[agent: c.name, attempt: attempt, job: 'slot']]])])
                if (!said.body.contains('"result":"ok"')) throw new IllegalStateException(verb + ': ' + said.body)
            }
            Executor executor = computer(c.name).executors.find { it.idle }
            executor.used = true
            long nanos = 0
            Queue.withLock({
                Executor.as(executor, { nanos = Costs.begin(Jenkins.get().getExtensionList(QueueListener).get(0), left) } as Runnable)
            } as Runnable)
            executor.owner.replace(executor)
            nanos
        }.sort()
        took[took.size().intdiv(2)]
    }

    // What one question costs, in nanoseconds.
    def cost(c) {
        def (task, actions) = items[c.item as long]
        def item = new Queue.BuildableItem(task, actions, c.item as long)
        def node = Jenkins.get().getNode(c.name)
        Costs.take(Jenkins.get().getExtensionList(QueueTaskDispatcher).get(0), node, item, c.times)
    }
}

@groovy.transform.CompileStatic
class Costs {
    static long begin(QueueListener listener, Queue.LeftItem left) {
        long began = System.nanoTime()
        listener.onLeft(left)
        return System.nanoTime() - began
    }

    static long take(QueueTaskDispatcher d, Node node, Queue.BuildableItem item, int times) {
        long began = System.nanoTime()
        for (int i = 0; i < times; i++) d.canTake(node, item)
        return (System.nanoTime() - began).intdiv(times) as long
    }
}

def answers = System.out
System.out = System.err
def world = new World(new File(args[0]).getText('UTF-8'))
System.in.eachLine('UTF-8') { line ->
    def command = new JsonSlurper().parseText(line)
    def answer
    try {
        answer = [ok: world."${command.do}"(command)]
    } catch (Throwable e) {
        answer = [failed: e.toString(), at: e.stackTrace*.toString().findAll { it.contains(".groovy:") }.take(6)]
    }
    answers.println(JsonOutput.toJson(answer))
    answers.flush()
}
