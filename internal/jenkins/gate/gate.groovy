// SPDX-License-Identifier: Apache-2.0
//
// The gate of pitcrew @VERSION@: no build starts on an agent that is not clean.
//
// This file belongs into init.groovy.d of the Jenkins home directory, as the first one in order; it may also be sent to the
// script console. Evaluated again, it takes the place of an earlier copy and keeps what that one knew. It changes nothing
// for agents that never had the label '@CLEANABLE@'.
//
// What it knows lives in memory: after a start of Jenkins every agent of ours counts as not clean, whatever its labels say,
// until the daemon has looked at it and grants that it is.

import groovy.transform.CompileDynamic
import groovy.transform.CompileStatic
import hudson.init.InitMilestone
import hudson.model.Computer
import hudson.model.Executor
import hudson.model.ExecutorListener
import hudson.model.Item
import hudson.model.Label
import hudson.model.Node
import hudson.model.OneOffExecutor
import hudson.model.ParameterValue
import hudson.model.ParametersAction
import hudson.model.Queue
import hudson.model.RootAction
import hudson.model.Run
import hudson.model.queue.CauseOfBlockage
import hudson.model.queue.QueueListener
import hudson.model.queue.QueueTaskDispatcher
import hudson.model.queue.WorkUnit
import hudson.remoting.VirtualChannel
import hudson.security.ACL
import hudson.slaves.ComputerListener
import hudson.slaves.OfflineCause
import hudson.util.ConsistentHash
import hudson.util.QuotedStringTokenizer
import java.lang.reflect.InvocationHandler
import java.lang.reflect.Method
import java.lang.reflect.Proxy
import java.util.concurrent.Callable
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicLong
import java.util.concurrent.atomic.LongAdder
import java.util.logging.Level
import java.util.logging.Logger
import jenkins.model.Jenkins
import jenkins.model.NodeListener
import org.kohsuke.stapler.HttpResponse
import org.kohsuke.stapler.QueryParameter
import org.kohsuke.stapler.interceptor.RequirePOST

/** Why something may not start. The texts are constants: Jenkins joins all that differ into what it shows of a queued item. */
@CompileStatic
class PitcrewCause extends CauseOfBlockage {
    static final PitcrewCause UNCLEAN = new PitcrewCause('pitcrew: the agent is not clean')
    static final PitcrewCause DRIFTED = new PitcrewCause('pitcrew: the agent changed since it was cleaned')
    static final PitcrewCause UNCLAIMED = new PitcrewCause('pitcrew: the agent is not claimed for this cleanup')
    static final PitcrewCause BROKEN = new PitcrewCause('pitcrew: the gate failed, so the agent counts as not clean')
    static final PitcrewCause FLYWEIGHT = new PitcrewCause('pitcrew: would start on an agent that is not clean, where nothing could stop it')

    final String text

    PitcrewCause(String text) { this.text = text }

    @Override
    String getShortDescription() { return text }
}

/**
 * What is known of the agents, and the rules. All of it is in a map of the JDK's types and Jenkins' own objects, for a later
 * copy of this file has classes of its own. An entry is never changed, only replaced: dispatching reads it without a lock.
 */
@CompileStatic
class PitcrewLedger {
    private static final Logger LOG = Logger.getLogger('pitcrew.gate')

    static final int PROTOCOL = 1
    static final int BOX = 10000

    static final String CLAIMED = 'claimed'
    static final String CLEAN = 'clean'
    static final String USED = 'used'
    static final String HELD = 'held'
    static final String UNKNOWN = 'unknown'

    final String cleanable, dirty, clean
    final Map<String, Object> root
    final ConcurrentHashMap<String, Map<String, Object>> entries
    final ArrayDeque<Map<String, Object>> box
    final AtomicLong sequence
    final ConcurrentHashMap<String, Boolean> jobs
    private final PitcrewOrder order = new PitcrewOrder()
    final LongAdder asked = new LongAdder(), vetoed = new LongAdder(), failed = new LongAdder()
    private final ConcurrentHashMap<String, Boolean> faults = new ConcurrentHashMap<String, Boolean>()

    @SuppressWarnings('unchecked')
    PitcrewLedger(Map<String, Object> root, String cleanable, String dirty, String clean) {
        this.root = root
        this.cleanable = cleanable
        this.dirty = dirty
        this.clean = clean
        entries = (ConcurrentHashMap<String, Map<String, Object>>) root.get('entries')
        box = (ArrayDeque<Map<String, Object>>) root.get('box')
        sequence = (AtomicLong) root.get('sequence')
        jobs = (ConcurrentHashMap<String, Boolean>) root.get('jobs')
    }

    static ConcurrentHashMap<String, Object> newRoot() {
        ConcurrentHashMap<String, Object> root = new ConcurrentHashMap<String, Object>()
        root.put('entries', new ConcurrentHashMap<String, Map<String, Object>>())
        root.put('box', new ArrayDeque<Map<String, Object>>())
        root.put('sequence', new AtomicLong())
        root.put('jobs', new ConcurrentHashMap<String, Boolean>())
        root.put('session', UUID.randomUUID().toString())
        return root
    }

    /** Something of ours failed, or what it was told. Each kind is logged once, for the queue's lock is held. */
    void fault(Throwable e) {
        failed.increment()
        String what = e.getClass().getName()
        for (StackTraceElement at : e.getStackTrace()) {
            if (!at.getClassName().startsWith('Pitcrew')) continue
            what += ' in ' + at.getClassName() + '.' + at.getMethodName() + ', line ' + at.getLineNumber()
            break
        }
        root.put('fault', what)
        if (faults.size() < 100 && faults.putIfAbsent(what, true) == null) LOG.log(Level.WARNING, 'the gate of pitcrew failed, and goes on counting', e)
    }

    // Labels are read from the node's own text: what Jenkins caches of them lags behind.

    static List<String> tokens(String text) {
        List<String> all = new ArrayList<String>()
        QuotedStringTokenizer t = new QuotedStringTokenizer(text == null ? '' : text)
        while (t.hasMoreTokens()) all.add(t.nextToken())
        return all
    }

    /** What Jenkins cuts labels at. */
    static boolean blank(char c) { return c == (char) 32 || c == (char) 9 || c == (char) 10 || c == (char) 13 }

    static boolean labelled(Node node, String label) {
        String text = node.getLabelString()
        if (text == null) return false
        if (text.indexOf('"' as String) >= 0 || text.indexOf("'" as String) >= 0 || text.indexOf('\\' as String) >= 0) {
            return tokens(text).contains(label)
        }
        int at = text.indexOf(label)
        while (at >= 0) {
            int end = at + label.length()
            if ((at == 0 || blank(text.charAt(at - 1))) && (end == text.length() || blank(text.charAt(end)))) return true
            at = text.indexOf(label, at + 1)
        }
        return false
    }

    /** Whether builds on the node are the gate's business. Once claimed it stays so until it is withdrawn. */
    boolean managed(Node node) {
        return !(node instanceof Jenkins) && (entries.containsKey(node.getNodeName()) || labelled(node, cleanable))
    }

    static String state(Map<String, Object> entry) { return entry == null ? UNKNOWN : (String) entry.get('state') }

    /** Whether the task is a job that some agent was claimed for, once at least. */
    boolean cleanup(Queue.Item item) { return item.task instanceof Item && jobs.containsKey(((Item) item.task).getFullName()) }

    /** Whether the item is the very cleanup that the agent is claimed for: by the full name of its job and the number of the attempt. */
    static boolean ours(Map<String, Object> entry, Queue.Item item) {
        if (state(entry) != CLAIMED || !(item.task instanceof Item) || ((Item) item.task).getFullName() != entry.get('job')) return false
        ParametersAction parameters = item.getAction(ParametersAction)
        ParameterValue attempt = parameters == null ? null : parameters.getParameter('PITCREW_ATTEMPT')
        return attempt != null && String.valueOf(attempt.getValue()) == String.valueOf(entry.get('attempt'))
    }

    /** What has changed on the agent since it was granted, null if nothing has. */
    String drift(Node node, Map<String, Object> entry) {
        Computer computer = node.toComputer()
        if (computer == null || !computer.is(entry.get('computer'))) return 'computer'
        if (node.getClass().getName() != entry.get('class')) return 'class'
        VirtualChannel channel = computer.getChannel()
        if (channel == null || !channel.is(entry.get('channel'))) return 'connection'
        if (!computer.getOneOffExecutors().isEmpty()) return 'busy'
        Object[] granted = (Object[]) entry.get('executors')
        List<Executor> executors = computer.getExecutors()
        if (executors.size() != granted.length) return 'executors'
        for (Executor executor : executors) {
            if (!among(executor, granted)) return 'executors'
            if (!executor.isIdle()) return 'busy'
        }
        return labelled(node, clean) ? null : 'label'
    }

    private static boolean among(Executor executor, Object[] executors) {
        for (Object other : executors) if (executor.is(other)) return true
        return false
    }

    /** Whether a real build may take the node now: the reason why not, or null. */
    CauseOfBlockage refuses(Node node, Map<String, Object> entry) {
        if (state(entry) != CLEAN) return PitcrewCause.UNCLEAN
        return drift(node, entry) == null ? null : PitcrewCause.DRIFTED
    }

    /** The verdict on one item and one node: no side effects, nothing that waits. */
    CauseOfBlockage verdict(Node node, Queue.Item item) {
        Map<String, Object> entry = null
        try {
            if (node instanceof Jenkins) return null
            entry = entries.get(node.getNodeName())
            if (entry == null && !labelled(node, cleanable)) return null
        } catch (Throwable e) {
            fault(e)
            return entry == null ? null : PitcrewCause.BROKEN
        }
        try {
            if (cleanup(item)) return ours(entry, item) ? null : PitcrewCause.UNCLAIMED
            return PitcrewTasks.continued(item.task) ? null : refuses(node, entry)
        } catch (Throwable e) {
            fault(e)
            return PitcrewCause.BROKEN
        }
    }

    /**
     * Flyweights are put onto executors of their own without a question per node: one that Jenkins would put onto an agent that is not
     * clean may not run at all for now.
     */
    CauseOfBlockage flyweight(Queue.Item item) {
        if (!(item.task instanceof Queue.FlyweightTask)) return null
        Jenkins jenkins = Jenkins.get()
        Label label = item.getAssignedLabel()
        if (label == null && builtInTakes(jenkins, item)) return null
        if (!root.containsKey('strict')) {
            try {
                Node node = order.first(jenkins, label, buildable(item))
                return node == null || verdict(node, item) == null ? null : PitcrewCause.FLYWEIGHT
            } catch (Throwable e) {
                fault(e)
            }
        }
        return exposed(jenkins, label)
    }

    /** Whether there is any agent where it could land that is not clean, whichever Jenkins chooses. */
    private CauseOfBlockage exposed(Jenkins jenkins, Label label) {
        // Jenkins gives those without a label to EXCLUSIVE nodes too, if the built-in one is no place for anything.
        boolean spills = label == null && (jenkins.getNumExecutors() < 1 || jenkins.getMode() == Node.Mode.EXCLUSIVE)
        for (Node node : jenkins.getNodes()) {
            Map<String, Object> entry = null
            try {
                entry = entries.get(node.getNodeName())
                if (entry == null && !labelled(node, cleanable)) continue
            } catch (Throwable e) {
                fault(e)
                if (entry == null) continue
            }
            try {
                // The queue goes by what is cached of the label, which may lag behind the node's own text.
                if (label == null ? !spills && node.getMode() == Node.Mode.EXCLUSIVE : !label.matches(node) && !label.contains(node)) continue
                Computer computer = node.toComputer()
                if (computer == null || computer.isOffline() || refuses(node, entry) == null) continue
            } catch (Throwable e) {
                fault(e)
            }
            return PitcrewCause.FLYWEIGHT
        }
        return null
    }

    /** Whether a flyweight that asks for no label goes to the built-in node, as it does unless that one refuses it. */
    private boolean builtInTakes(Jenkins jenkins, Queue.Item item) {
        Computer computer = jenkins.toComputer()
        if (computer == null || !computer.isOnline() || !computer.isAcceptingTasks()) return false
        try {
            return jenkins.canTake(buildable(item)) == null
        } catch (Throwable e) {
            fault(e)
            return false
        }
    }

    private static Queue.BuildableItem buildable(Queue.Item item) {
        if (item instanceof Queue.BuildableItem) return (Queue.BuildableItem) item
        if (item instanceof Queue.WaitingItem) return new Queue.BuildableItem((Queue.WaitingItem) item)
        return new Queue.BuildableItem((Queue.NotWaitingItem) item)
    }

    // Events: hints for the daemon, which reads the whole ledger whenever it has missed one.

    void tell(String what, String agent, Map<String, Object> more) {
        Map<String, Object> event = new LinkedHashMap<String, Object>()
        event.put('event', what)
        event.put('agent', agent)
        event.put('at', System.currentTimeMillis())
        if (more != null) event.putAll(more)
        synchronized (box) {
            event.put('seq', sequence.incrementAndGet())
            box.addLast(event)
            while (box.size() > BOX) box.removeFirst()
            box.notifyAll()
        }
    }

    /** The events after number since, waiting up to so many milliseconds for the first; null if some of them are gone. */
    List<Map<String, Object>> eventsAfter(long since, long wait) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(Math.min(Math.max(wait, 0L), 30000L))
        synchronized (box) {
            while (sequence.get() <= since) {
                long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())
                if (left <= 0) break
                box.wait(left)
            }
            if (since > sequence.get() || (!box.isEmpty() && (long) box.getFirst().get('seq') > since + 1)) return null
            List<Map<String, Object>> found = new ArrayList<Map<String, Object>>()
            for (Map<String, Object> event : box) if ((long) event.get('seq') > since) found.add(event)
            return found
        }
    }

    /** An entry of that state, which goes on with the attempt and the owner of the old one unless more says otherwise. */
    static Map<String, Object> entry(String state, Map<String, Object> old, Map<String, Object> more) {
        Map<String, Object> e = new HashMap<String, Object>()
        e.put('state', state)
        if (old != null && old.containsKey('attempt')) e.put('attempt', old.get('attempt'))
        if (old != null && old.containsKey('owner')) e.put('owner', old.get('owner'))
        e.put('since', System.currentTimeMillis())
        if (more != null) e.putAll(more)
        return Collections.unmodifiableMap(e)
    }

    /** A work unit begins on the agent, under the queue's lock and before its build exists. */
    void begins(Queue.LeftItem item, Executor executor) {
        Computer computer = executor.getOwner()
        Node node = computer.getNode()
        String name = computer.getName()
        if (node instanceof Jenkins || name.isEmpty()) return
        Map<String, Object> entry = entries.get(name)
        if (entry == null && (node == null || !labelled(node, cleanable))) return
        Map<String, Object> more = new HashMap<String, Object>()
        more.put('item', item.getId())
        if (ours(entry, item)) {
            more.put('attempt', entry.get('attempt'))
            tell('started', name, more)
            return
        }
        if (PitcrewTasks.continued(item.task)) {
            // Where it began, it may; what was proved meanwhile, or is about to be, is not so any more.
            if (state(entry) == CLEAN || state(entry) == CLAIMED) entries.put(name, PitcrewLedger.entry(USED, entry, more))
            tell('returned', name, more)
            if (node != null && labelled(node, clean)) PitcrewLabels.used(this, node)
            return
        }
        if (state(entry) == USED && entry.get('item') == item.getId()) return // another part of the same build
        boolean proven = state(entry) == CLEAN && computer.is(entry.get('computer')) && took(executor, (Object[]) entry.get('executors'))
        if (!proven && executor instanceof OneOffExecutor) astray(node, executor)
        entries.put(name, PitcrewLedger.entry(USED, entry, more))
        Map<String, Object> event = new HashMap<String, Object>(more)
        if (entry != null && entry.containsKey('attempt')) event.put('attempt', entry.get('attempt'))
        event.put('was', state(entry))
        tell(proven ? 'consumed' : 'contaminated', name, event)
        if (node != null && labelled(node, clean)) PitcrewLabels.used(this, node)
    }

    /** Whether it is by this executor that the agent is used since it was granted: one that it had then, or one of a flyweight, which is alone. */
    private static boolean took(Executor executor, Object[] granted) {
        if (!(executor instanceof OneOffExecutor)) return among(executor, granted)
        Computer computer = executor.getOwner()
        for (Executor other : computer.getExecutors()) if (!among(other, granted) || !other.isIdle()) return false
        return computer.getOneOffExecutors().size() == 1
    }

    /** A flyweight begins where it may not. If Jenkins chose otherwise than is believed here, all agents have to be clean from now on where one could land. */
    private void astray(Node node, Executor executor) {
        try {
            WorkUnit unit = executor.getCurrentWorkUnit()
            if (unit == null || node == null) return
            Queue.BuildableItem item = unit.context.item
            if (!node.is(order.first(Jenkins.get(), item.getAssignedLabel(), item))) root.put('strict', true)
        } catch (Throwable e) {
            fault(e)
            root.put('strict', true)
        }
    }

    /** The build of a work unit exists by now: where it is found. Jenkins forgets which build came of an item after five minutes. */
    void begun(Executor executor) {
        try {
            String name = executor.getOwner().getName()
            Map<String, Object> entry = entries.get(name)
            if (state(entry) != USED) return
            WorkUnit unit = executor.getCurrentWorkUnit()
            if (unit == null || unit.context.item.getId() != entry.get('item')) return
            Run build = PitcrewTasks.build(executor.getCurrentExecutable())
            if (build == null) return
            Map<String, Object> named = new HashMap<String, Object>(entry)
            named.put('build', build.getUrl()) // below the root of Jenkins
            named.put('job', build.getParent()) // who may read it is told
            entries.replace(name, entry, Collections.unmodifiableMap(named))
        } catch (Throwable e) {
            fault(e)
        }
    }

    /** A node has another name now: it is the same machine, and ours until it is withdrawn, whatever its labels say. The old name stays ours, too. */
    void renamed(String old, String name) {
        lost(old, 'renamed')
        if (!entries.containsKey(old)) return
        Map<String, Object> more = new HashMap<String, Object>()
        more.put('why', 'renamed')
        entries.putIfAbsent(name, entry(UNKNOWN, null, more)) // attempts are counted by name
    }

    /** The connection or the node has changed: whatever was proved is proved no more. It may be called on any thread. */
    void lost(String name, String why) {
        Map<String, Object> entry = entries.get(name)
        if (entry == null) return
        if (state(entry) == CLEAN) {
            Map<String, Object> more = new HashMap<String, Object>()
            more.put('why', why)
            entries.replace(name, entry, PitcrewLedger.entry(UNKNOWN, entry, more))
        }
    }
}

/** Where Jenkins puts a flyweight that does not go to the built-in node (hudson.model.Queue#makeFlyWeightTaskBuildable). */
@CompileStatic
class PitcrewOrder {
    private final ConsistentHash<String> ring = new ConsistentHash<String>() // by names, as Jenkins'
    private final Map<String, Integer> shares = new HashMap<String, Integer>()

    /** The node that takes the item now, null if no agent does. Jenkins' own ring is made anew each time; this one is kept and follows the nodes. */
    Node first(Jenkins jenkins, Label label, Queue.BuildableItem item) {
        // What is tied to the built-in node goes there or waits, whichever agents have its label, too.
        if (label != null && label.equals(jenkins.getSelfLabel()) && jenkins.toComputer() != null) return null
        follow(jenkins.getNodes()) // alone under a lock: what is asked below may take others
        for (String name : ring.list(item.task.getFullDisplayName())) {
            Node node = jenkins.getNode(name)
            Computer computer = node == null ? null : node.toComputer()
            if (computer == null || computer.isOffline()) continue
            if (label != null && !label.contains(node)) continue // by what is cached of it, which is what Jenkins goes by
            if (node.canTake(item) == null) return node
        }
        return null
    }

    private synchronized void follow(List<Node> nodes) {
        Map<String, Integer> changed = new HashMap<String, Integer>()
        for (Node node : nodes) {
            int share = node.getNumExecutors() * 100
            if (shares.get(node.getNodeName()) != share) changed.put(node.getNodeName(), share)
        }
        if (changed.isEmpty() && nodes.size() == shares.size()) return
        Set<String> gone = new HashSet<String>(shares.keySet())
        for (Node node : nodes) gone.remove(node.getNodeName())
        for (String name : gone) changed.put(name, 0)
        ring.addAll(changed)
        shares.putAll(changed)
        shares.keySet().removeAll(gone)
    }
}

/** Tasks of plugins whose classes this file must not name: they may not be there. */
@CompileStatic
class PitcrewTasks {
    static final ConcurrentHashMap<Class<?>, Object> asks = new ConcurrentHashMap<Class<?>, Object>()

    /** Whether the task is one that ran before Jenkins was restarted and returns to its own agent. */
    static boolean continued(Object task) {
        Object ask = asks.get(task.getClass())
        if (ask == null) {
            ask = find(task.getClass())
            asks.put(task.getClass(), ask)
        }
        return ask instanceof Method && ((Method) ask).invoke(task) == Boolean.TRUE
    }

    /** The build that an executor works on: of a part of a Pipeline that is the whole. Null if it is none. */
    static Run build(Queue.Executable executable) {
        Queue.Executable whole = executable == null || executable instanceof Run ? executable : executable.getParentExecutable()
        return whole instanceof Run ? (Run) whole : null
    }

    private static Object find(Class<?> type) {
        for (Class<?> c = type; c != null; c = c.getSuperclass()) {
            for (Class<?> i : c.getInterfaces()) {
                Object found = within(i)
                if (found instanceof Method) return found
            }
        }
        return Boolean.FALSE
    }

    private static Object within(Class<?> type) {
        if (type.getName() == 'org.jenkinsci.plugins.durabletask.executors.ContinuedTask') return type.getMethod('isContinued')
        for (Class<?> i : type.getInterfaces()) {
            Object found = within(i)
            if (found instanceof Method) return found
        }
        return Boolean.FALSE
    }
}

/** Writing labels: what is not one of ours stays where it is. */
class PitcrewLabels {
    /** The text with some labels taken out and others put to its end, the same text if nothing changes. */
    @CompileStatic
    static String edited(String text, Collection<String> off, Collection<String> on) {
        List<String> have = PitcrewLedger.tokens(text)
        String result = text == null ? '' : text
        for (String label : off) {
            if (!have.contains(label)) continue
            result = without(result, label)
        }
        for (String label : on) {
            if (!have.contains(label)) result = result.isEmpty() || result.endsWith(' ') ? result + label : result + ' ' + label
        }
        return result
    }

    @CompileStatic
    private static String without(String text, String label) {
        // Words are cut as Jenkins cuts them: at blanks outside of quotes that no backslash makes ordinary. The blanks before a word go with it.
        StringBuilder kept = new StringBuilder()
        int at = 0
        while (at < text.length()) {
            int begin = at
            while (at < text.length() && PitcrewLedger.blank(text.charAt(at))) at++
            int word = at
            char quote = (char) 0
            boolean ordinary = false
            while (at < text.length() && (ordinary || quote != (char) 0 || !PitcrewLedger.blank(text.charAt(at)))) {
                char c = text.charAt(at)
                if (ordinary) ordinary = false
                else if (c == (char) 92 && at > word) ordinary = true
                else if (quote == (char) 0 && (c == (char) 34 || c == (char) 39)) quote = c
                else if (c == quote) quote = (char) 0
                at++
            }
            if (PitcrewLedger.tokens(text.substring(word, at)).contains(label)) continue
            kept.append(text, begin, at)
        }
        String result = kept.toString()
        return kept.length() > 0 && !PitcrewLedger.blank(text.charAt(0)) ? result.replaceFirst('^[ \\t]+', '') : result
    }

    /** The least there is to a used agent: its file is written and two caches are emptied. What else is cached is corrected by the veto. */
    @CompileDynamic
    static void used(PitcrewLedger ledger, Node node) {
        // The executor of a build that is stopped as it begins, by a stop of Jenkins for one, could not write a file.
        boolean stopped = Thread.interrupted()
        try {
            node.setLabelString(edited(node.getLabelString(), [ledger.clean], []))
            node.save()
        } catch (Throwable e) {
            ledger.fault(e)
            ledger.tell('unsaved', node.getNodeName(), [why: String.valueOf(e)])
        } finally {
            if (stopped) Thread.currentThread().interrupt()
        }
        Jenkins.get().getLabelAtom(ledger.clean)?.reset()
    }

    /** All caches are right afterwards. It throws if the node's file cannot be written; then the labels are as they were. */
    @CompileDynamic
    static void write(PitcrewLedger ledger, Node node, Collection<String> off, Collection<String> on) {
        String before = node.getLabelString()
        String after = edited(before, off, on)
        if (after == before) return
        try {
            node.setLabelString(after)
            if (Jenkins.get().updateNode(node) == false) throw new IOException('the node was replaced meanwhile')
        } catch (Throwable e) {
            node.setLabelString(before)
            throw e
        } finally {
            // Before 2.507 the labels that a node has lost are left in the cache.
            for (label in [ledger.clean, ledger.dirty]) Jenkins.get().getLabelAtom(label)?.reset()
        }
    }
}

@CompileStatic
class PitcrewDispatcher extends QueueTaskDispatcher {
    final PitcrewLedger ledger

    PitcrewDispatcher(PitcrewLedger ledger) { this.ledger = ledger }

    @Override
    CauseOfBlockage canTake(Node node, Queue.BuildableItem item) {
        CauseOfBlockage cause = ledger.verdict(node, item)
        ledger.asked.increment()
        if (cause != null) ledger.vetoed.increment()
        return cause
    }

    @Override
    CauseOfBlockage canRun(Queue.Item item) { return ledger.flyweight(item) }
}

@CompileStatic
class PitcrewQueueListener extends QueueListener {
    final PitcrewLedger ledger

    PitcrewQueueListener(PitcrewLedger ledger) { this.ledger = ledger }

    @Override
    void onLeft(Queue.LeftItem item) {
        if (item.isCancelled()) return
        Executor executor = Executor.currentExecutor()
        if (executor != null) ledger.begins(item, executor)
    }
}

@CompileStatic
class PitcrewExecutorListener implements ExecutorListener {
    final PitcrewLedger ledger

    PitcrewExecutorListener(PitcrewLedger ledger) { this.ledger = ledger }

    @Override
    void taskStarted(Executor executor, Queue.Task task) { ledger.begun(executor) }

    @Override
    void taskCompleted(Executor executor, Queue.Task task, long millis) { ended(executor) }

    @Override
    void taskCompletedWithProblems(Executor executor, Queue.Task task, long millis, Throwable problems) { ended(executor) }

    private void ended(Executor executor) {
        String name = executor.getOwner().getName()
        if (ledger.entries.containsKey(name)) ledger.tell('ended', name, null)
    }
}

@CompileStatic
class PitcrewComputerListener extends ComputerListener {
    final PitcrewLedger ledger

    PitcrewComputerListener(PitcrewLedger ledger) { this.ledger = ledger }

    @Override
    void onOnline(Computer computer, hudson.model.TaskListener listener) { changed(computer, 'online') }

    @Override
    void onOffline(Computer computer, OfflineCause cause) { changed(computer, 'offline') }

    private void changed(Computer computer, String what) {
        String name = computer.getName()
        if (!ledger.entries.containsKey(name)) return
        ledger.lost(name, what)
        ledger.tell(what, name, null)
    }
}

@CompileStatic
class PitcrewNodeListener extends NodeListener {
    final PitcrewLedger ledger

    PitcrewNodeListener(PitcrewLedger ledger) { this.ledger = ledger }

    @Override
    protected void onUpdated(Node before, Node after) {
        String old = before.getNodeName(), name = after.getNodeName()
        if (old != name) ledger.renamed(old, name)
        if (before.is(after) || !(ledger.entries.containsKey(old) || ledger.managed(after))) return
        if (ledger.entries.containsKey(name) && before.getClass() != after.getClass()) ledger.lost(name, 'class')
        ledger.tell('changed', name, null)
    }

    @Override
    protected void onDeleted(Node node) {
        // The entry stays: should the name come back, with whatever labels, it is not clean.
        ledger.lost(node.getNodeName(), 'deleted')
        if (ledger.entries.containsKey(node.getNodeName())) ledger.tell('deleted', node.getNodeName(), null)
    }
}

/** What the daemon asks for, one agent at a time, each under the queue's lock. The answer is 'ok', or why not. */
class PitcrewVerbs {
    final PitcrewLedger ledger

    PitcrewVerbs(PitcrewLedger ledger) { this.ledger = ledger }

    @CompileStatic
    String apply(String verb, Map<String, Object> request) {
        return Queue.withLock({ locked(verb, request) } as Callable<String>)
    }

    @CompileDynamic
    private String locked(String verb, Map<String, Object> request) {
        String name = request.agent
        Node node = Jenkins.get().getNode(name)
        Map<String, Object> entry = ledger.entries.get(name)
        if (node == null) {
            if (verb != 'withdraw' || entry == null) return 'gone'
            if (!Jenkins.get().hasPermission(Computer.CONFIGURE)) return 'permission'
            return owned(request) ?: withdrawn(name, null)
        }
        if (node instanceof Jenkins) return 'built-in'
        if (!node.hasPermission(Computer.CONFIGURE)) return 'permission'
        String refused = owned(request)
        if (refused != null) return refused
        switch (verb) {
            case 'claim': return claim(name, node, entry, request)
            case 'grant': return grant(name, node, entry, request)
            case 'revoke': return put(name, node, PitcrewLedger.UNKNOWN, entry, request, [ledger.clean, ledger.dirty], [])
            case 'hold': return put(name, node, PitcrewLedger.HELD, entry, request, [ledger.clean], [ledger.dirty])
            case 'withdraw': return entry || PitcrewLedger.labelled(node, ledger.cleanable) ? withdrawn(name, node) : 'unmanaged'
        }
        return 'verb'
    }

    /** One daemon per controller: the first that comes is the owner until another is told to take its place. */
    @CompileStatic
    private String owned(Map<String, Object> request) {
        Object owner = ledger.root.putIfAbsent('owner', request.get('owner'))
        if (owner == null || owner == request.get('owner')) return null
        if (request.get('insteadOf') != owner) return 'owner ' + owner
        ledger.root.put('owner', request.get('owner'))
        return null
    }

    @CompileDynamic
    private String claim(String name, Node node, Map<String, Object> entry, Map<String, Object> request) {
        Computer computer = node.toComputer()
        long attempt = request.attempt as long
        boolean again = PitcrewLedger.state(entry) == PitcrewLedger.CLAIMED && entry.attempt == attempt
        if (again && !request.renew) {
            if (entry.job != request.job) return 'stale'
            PitcrewLabels.write(ledger, node, [ledger.clean], [ledger.dirty]) // which may have failed the first time
            return 'ok'
        }
        if (!again && entry?.attempt != null && attempt <= (entry.attempt as long)) return 'stale'
        if (!entry && !PitcrewLedger.labelled(node, ledger.cleanable)) return 'unmanaged'
        if (computer == null) return 'offline'
        if (!computer.isIdle()) return 'busy'
        if (computer.getChannel() == null && !request.offline) return 'offline'
        if (awaits(node)) return 'awaits'
        if (request.job != null) ledger.jobs.put(request.job, true)
        ledger.entries.put(name, PitcrewLedger.entry(PitcrewLedger.CLAIMED, entry,
            [attempt: attempt, owner: request.owner, job: request.job, computer: computer, channel: computer.getChannel()]))
        PitcrewLabels.write(ledger, node, [ledger.clean], [ledger.dirty])
        ledger.tell('claimed', name, [attempt: attempt])
        return 'ok'
    }

    /** Whether a build that ran before Jenkins was restarted is queued to come back to this agent. It counts whether or not whoever asks may see it. */
    @CompileDynamic
    private static boolean awaits(Node node) {
        def context = ACL.as2(ACL.SYSTEM2)
        try {
            return Queue.getInstance().getItems().any { Queue.Item item ->
                PitcrewTasks.continued(item.task) && item.getAssignedLabel()?.matches(node)
            }
        } finally {
            context.close()
        }
    }

    @CompileDynamic
    private String grant(String name, Node node, Map<String, Object> entry, Map<String, Object> request) {
        if (entry?.attempt == null || entry.attempt != (request.attempt as long)) return 'stale'
        if (PitcrewLedger.state(entry) == PitcrewLedger.CLEAN) return ledger.drift(node, entry) ?: 'ok'
        if (PitcrewLedger.state(entry) != PitcrewLedger.CLAIMED) return 'stale'
        if (!PitcrewLedger.labelled(node, ledger.cleanable)) return 'unmanaged'
        Computer computer = node.toComputer()
        if (computer == null || computer.getChannel() == null) return 'offline'
        if (!computer.is(entry.computer) || !computer.getChannel().is(entry.channel)) return 'connection'
        if (!computer.isIdle()) return 'busy'
        Object[] executors = computer.getExecutors().toArray()
        if (executors.length != node.getNumExecutors()) return 'busy' // one that has ended is about to be replaced
        PitcrewLabels.write(ledger, node, [ledger.dirty], [ledger.clean])
        ledger.entries.put(name, PitcrewLedger.entry(PitcrewLedger.CLEAN, entry,
            [computer: computer, channel: computer.getChannel(), executors: executors, 'class': node.getClass().getName()]))
        ledger.tell('granted', name, [attempt: entry.attempt])
        return 'ok'
    }

    @CompileDynamic
    private String put(String name, Node node, String state, Map<String, Object> entry, Map<String, Object> request, List<String> off, List<String> on) {
        if (!entry && !PitcrewLedger.labelled(node, ledger.cleanable)) return 'unmanaged'
        if (request.attempt != null && entry?.attempt != null && (request.attempt as long) < (entry.attempt as long)) return 'stale'
        ledger.entries.put(name, PitcrewLedger.entry(state, entry, request.attempt == null ? [:] : [attempt: request.attempt as long]))
        PitcrewLabels.write(ledger, node, off, on)
        ledger.tell(state == PitcrewLedger.HELD ? 'held' : 'revoked', name, null)
        return 'ok'
    }

    @CompileDynamic
    private String withdrawn(String name, Node node) {
        if (node != null) PitcrewLabels.write(ledger, node, [ledger.clean, ledger.dirty], [])
        ledger.entries.remove(name)
        ledger.tell('withdrawn', name, null)
        return 'ok'
    }
}

/** The gate's own address. Every answer is JSON; the methods check the permissions themselves, Jenkins only that somebody may read at all. */
class PitcrewGate implements RootAction {
    final PitcrewLedger ledger
    final PitcrewVerbs verbs
    final String version

    PitcrewGate(PitcrewLedger ledger, String version) {
        this.ledger = ledger
        this.version = version
        verbs = new PitcrewVerbs(ledger)
    }

    String getIconFileName() { return null }

    String getDisplayName() { return null }

    String getUrlName() { return 'pitcrew-gate' }

    @CompileStatic
    HttpResponse doStatus() {
        Jenkins.get().checkPermission(Jenkins.READ)
        StringBuilder out = new StringBuilder(65536)
        head(out).append(',"asked":').append(ledger.asked.sum()).append(',"vetoed":').append(ledger.vetoed.sum())
            .append(',"failed":').append(ledger.failed.sum())
        if (ledger.root.get('fault') != null) text(out.append(',"fault":'), (String) ledger.root.get('fault'))
        out.append(',"agents":{')
        String root = Jenkins.get().getRootUrl()
        boolean first = true
        Set<String> seen = new HashSet<String>()
        for (Node node : Jenkins.get().getNodes()) {
            try {
                if (!ledger.managed(node) || !readable(node)) continue
            } catch (Throwable e) { // of which the ledger has nothing: dispatching lets it pass as well
                ledger.fault(e)
                continue
            }
            seen.add(node.getNodeName())
            if (!first) out.append(',')
            first = false
            agent(out, node.getNodeName(), node, root)
        }
        for (String name : ledger.entries.keySet()) { // whose nodes are gone
            if (seen.contains(name) || Jenkins.get().getNode(name) != null || !Jenkins.get().hasPermission(Computer.CONFIGURE)) continue
            if (!first) out.append(',')
            first = false
            agent(out, name, null, root)
        }
        return json(200, out.append('}}').toString())
    }

    @CompileStatic
    private static boolean readable(Node node) {
        return node.hasPermission(Computer.EXTENDED_READ) || node.hasPermission(Computer.CONFIGURE)
    }

    /** Whether the user may read a job, and so know that it was built. */
    @CompileStatic
    private static boolean shown(Object job) { job instanceof Item && ((Item) job).hasPermission(Item.READ) }

    /** Whether the user may read any agent's configuration. */
    @CompileStatic
    private static boolean sees() {
        if (Jenkins.get().hasPermission(Computer.CONFIGURE)) return true
        for (Node node : Jenkins.get().getNodes()) if (readable(node)) return true
        return false
    }

    @CompileStatic
    private StringBuilder head(StringBuilder out) {
        out.append('{"protocol":').append(PitcrewLedger.PROTOCOL).append(',"version":')
        text(out, version).append(',"hook":')
        text(out, hook()).append(',"session":')
        text(out, (String) ledger.root.get('session')).append(',"seq":').append(ledger.sequence.get()).append(',"labels":[')
        text(out, ledger.cleanable).append(',')
        text(out, ledger.dirty).append(',')
        text(out, ledger.clean).append(']')
        Object owner = ledger.root.get('owner')
        if (owner != null) text(out.append(',"owner":'), (String) owner)
        return out
    }

    /** What registered the gate. A file that was deleted since brings nothing back at the next start. */
    @CompileStatic
    private String hook() {
        String hook = (String) ledger.root.get('hook')
        Object file = ledger.root.get('file')
        if (file == null || new File((String) file).exists()) return hook
        return hook == 'init script' ? 'deleted script' : 'console'
    }

    /** What is known of the agent, and what holds now: a state 'clean' with a drift lets nothing through. */
    @CompileStatic
    private void agent(StringBuilder out, String name, Node node, String root) {
        Map<String, Object> entry = ledger.entries.get(name)
        text(out, name).append(':{"state":')
        text(out, PitcrewLedger.state(entry))
        if (entry != null) {
            if (entry.get('attempt') != null) out.append(',"attempt":').append(entry.get('attempt'))
            if (entry.get('item') != null) out.append(',"item":').append(entry.get('item'))
            if (root != null && shown(entry.get('job'))) text(out.append(',"build":'), root + entry.get('build'))
            if (entry.get('why') != null) text(out.append(',"why":'), (String) entry.get('why'))
            out.append(',"since":').append(entry.get('since'))
        }
        if (node == null) {
            out.append(',"drift":"gone"')
        } else if (PitcrewLedger.state(entry) == PitcrewLedger.CLEAN) {
            String drift
            try {
                drift = ledger.drift(node, entry)
            } catch (Throwable e) { // and nothing is let through
                ledger.fault(e)
                drift = 'fault'
            }
            if (drift != null) text(out.append(',"drift":'), drift)
        }
        out.append('}')
    }

    @CompileStatic
    HttpResponse doEvents(@QueryParameter('session') String session, @QueryParameter('since') String since, @QueryParameter('wait') String wait) {
        Jenkins.get().checkPermission(Jenkins.READ)
        long after, patience
        try {
            after = Long.parseLong(since)
            patience = wait == null || wait.isEmpty() ? 0L : Long.parseLong(wait)
        } catch (NumberFormatException e) {
            return wrong('since and wait are whole numbers')
        }
        if (!sees()) patience = 0L // who is told of nothing may not keep a thread of Jenkins waiting
        List<Map<String, Object>> events = session == ledger.root.get('session') ? ledger.eventsAfter(after, patience) : null
        StringBuilder out = head(new StringBuilder())
        if (events == null) return json(200, out.append(',"gap":true,"events":[]}').toString())
        out.append(',"events":[')
        boolean first = true
        for (Map<String, Object> event : events) {
            Node node = Jenkins.get().getNode((String) event.get('agent'))
            if (node == null ? !Jenkins.get().hasPermission(Computer.CONFIGURE) : !readable(node)) continue
            if (!first) out.append(',')
            first = false
            object(out, event)
        }
        return json(200, out.append(']}').toString())
    }

    @RequirePOST
    HttpResponse doClaim(@QueryParameter('request') String request) { return each('claim', request) }

    @RequirePOST
    HttpResponse doGrant(@QueryParameter('request') String request) { return each('grant', request) }

    @RequirePOST
    HttpResponse doRevoke(@QueryParameter('request') String request) { return each('revoke', request) }

    @RequirePOST
    HttpResponse doHold(@QueryParameter('request') String request) { return each('hold', request) }

    @RequirePOST
    HttpResponse doWithdraw(@QueryParameter('request') String request) { return each('withdraw', request) }

    /** Does the verb to each agent of the request, in a lock section of its own, so that dispatching waits for one at most. */
    private HttpResponse each(String verb, String text) {
        Jenkins.get().checkPermission(Jenkins.READ)
        def request
        try {
            request = new groovy.json.JsonSlurper().parseText(text)
        } catch (Throwable e) {
            return wrong('the field request is not JSON')
        }
        String fault = fault(verb, request)
        if (fault != null) return wrong(fault)
        StringBuilder out = head(new StringBuilder()).append(',"results":[')
        request.agents.eachWithIndex { Map one, int i ->
            String result
            try {
                result = verbs.apply(verb, one + [owner: request.owner, insteadOf: request.insteadOf])
            } catch (Throwable e) {
                ledger.fault(e)
                result = 'error ' + e
            }
            if (i > 0) out.append(',')
            object(out, [agent: one.agent, result: result])
        }
        return json(200, out.append(']}').toString())
    }

    /** What is wrong with a request, null if nothing is. */
    private static String fault(String verb, request) {
        if (!(request instanceof Map)) return 'the request is no object'
        if (request.protocol != PitcrewLedger.PROTOCOL) return 'protocol ' + request.protocol + ' is not spoken here, ' + PitcrewLedger.PROTOCOL + ' is'
        if (!(request.owner instanceof String) || request.owner.isEmpty()) return 'owner is missing'
        if (!(request.insteadOf == null || request.insteadOf instanceof String)) return 'insteadOf is no text'
        if (!(request.agents instanceof List) || request.agents.isEmpty() || request.agents.size() > 1000) return 'agents is no list of 1 to 1000'
        for (one in request.agents) {
            if (!(one instanceof Map) || !(one.agent instanceof String) || one.agent.isEmpty()) return 'an agent has no name'
            boolean number = one.attempt instanceof Integer || one.attempt instanceof Long
            if (verb in ['claim', 'grant'] ? !number || one.attempt < 1 : !(number || one.attempt == null)) return 'attempt of ' + one.agent + ' is no number'
            if (verb == 'claim' && (!(one.job == null || one.job instanceof String))) return 'job of ' + one.agent + ' is no text'
            for (flag in ['renew', 'offline']) if (!(one[flag] == null || one[flag] instanceof Boolean)) return flag + ' of ' + one.agent + ' is neither true nor false'
        }
        return null
    }

    @CompileStatic
    private static HttpResponse wrong(String why) {
        StringBuilder out = new StringBuilder('{"protocol":').append(PitcrewLedger.PROTOCOL).append(',"error":')
        return json(400, text(out, why).append('}').toString())
    }

    @CompileStatic
    private static StringBuilder object(StringBuilder out, Map<String, Object> map) {
        out.append('{')
        boolean first = true
        for (Map.Entry<String, Object> e : map.entrySet()) {
            if (!first) out.append(',')
            first = false
            text(out, e.getKey()).append(':')
            if (e.getValue() instanceof Number) out.append(e.getValue())
            else text(out, String.valueOf(e.getValue()))
        }
        return out.append('}')
    }

    @CompileStatic
    static StringBuilder text(StringBuilder out, String value) {
        out.append('"')
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i)
            if (c == (char) 34 || c == (char) 92) out.append('\\').append(c)
            else if (c < (char) 32 || c > (char) 126) out.append(String.format('\\u%04x', (int) c))
            else out.append(c)
        }
        return out.append('"')
    }

    /** The answer, whichever of the two servlet interfaces this Jenkins has: the class is made when it is known. */
    @CompileStatic
    private static HttpResponse json(int code, String body) {
        return (HttpResponse) Proxy.newProxyInstance(HttpResponse.getClassLoader(), [HttpResponse] as Class[], new InvocationHandler() {
            @Override
            Object invoke(Object self, Method method, Object[] arguments) {
                if (method.getName() != 'generateResponse') return method.invoke(body, arguments)
                send(arguments[1], code, body)
                return null
            }
        })
    }

    @CompileDynamic
    private static void send(response, int code, String body) {
        byte[] bytes = body.getBytes('UTF-8')
        response.setStatus(code)
        response.setContentType('application/json;charset=UTF-8')
        response.setContentLength(bytes.length)
        response.getOutputStream().write(bytes)
    }
}

/** Puts this copy into the place of an earlier one: the new stands before the old goes, in one section of the queue's lock. */
class PitcrewRegistration {
    static String run(String version, String cleanable, String dirty, String clean, String hook, String file) {
        Jenkins jenkins = Jenkins.get()
        def context = jenkins.servletContext
        Map root = context.getAttribute('pitcrew.gate')
        if (root == null) {
            root = PitcrewLedger.newRoot()
            context.setAttribute('pitcrew.gate', root)
        }
        PitcrewLedger ledger = new PitcrewLedger(root, cleanable, dirty, clean)
        Map parts = [(QueueTaskDispatcher): new PitcrewDispatcher(ledger), (QueueListener): new PitcrewQueueListener(ledger),
            (ExecutorListener): new PitcrewExecutorListener(ledger), (ComputerListener): new PitcrewComputerListener(ledger),
            (NodeListener): new PitcrewNodeListener(ledger)]
        // Loaded before the queue's lock is taken: whoever loads extensions holds a lock as well, and one of them may wait for the queue's.
        parts.keySet().each { jenkins.getExtensionList(it).size() }
        int replaced = 0
        Queue.withLock({
            if (file == null) root.remove('file')
            else root.put('file', file)
            root.put('hook', hook) // before there is an address: it is in every answer
            parts.each { type, mine -> replaced += place(jenkins.getExtensionList(type), mine) }
            place(jenkins.getActions(), new PitcrewGate(ledger, version))
        } as Runnable)
        return "pitcrew gate $version: registered by the $hook, ${replaced > 0 ? 'in the place of another copy' : 'as the first copy'}"
    }

    /** The file that a script was read from, null if there is none or it cannot be told. */
    static String source(Class<?> script) {
        try {
            URL from = script.getProtectionDomain()?.getCodeSource()?.getLocation()
            if (from == null || from.getProtocol() != 'file') return null
            File file = new File(from.toURI())
            return file.isFile() ? file.getPath() : null
        } catch (Throwable e) { // without it the gate is as good
            return null
        }
    }

    private static int place(List all, Object mine) {
        List old = all.findAll { it.getClass().name == mine.getClass().name }
        all.add(mine)
        old.each { all.remove(it) }
        return old.size()
    }
}

try {
    // Init scripts end before Jenkins has started, and no console answers before that.
    boolean late = Jenkins.get().getInitLevel() == InitMilestone.COMPLETED
    println PitcrewRegistration.run('@VERSION@', '@CLEANABLE@', '@DIRTY@', '@CLEAN@', late ? 'console' : 'init script',
        late ? null : PitcrewRegistration.source(getClass()))
} catch (Throwable e) {
    // An init script that throws anything else keeps Jenkins from starting. Without a gate it starts, and the daemon sees that.
    throw new RuntimeException('the gate of pitcrew @VERSION@ could not be registered: ' + e, e)
}
