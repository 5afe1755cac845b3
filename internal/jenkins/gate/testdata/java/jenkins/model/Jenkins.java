// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

import hudson.ExtensionList;
import hudson.model.Action;
import hudson.model.Computer;
import hudson.model.Node;
import hudson.model.Queue;
import hudson.model.labels.LabelAtom;
import hudson.security.Permission;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.servlet.ServletContext;

public class Jenkins extends Node {
    public static final Permission READ = new Permission("Overall/Read");
    private static volatile Jenkins instance;

    public final transient ServletContext servletContext = new ServletContext();
    public final Map<String, Node> byName = new ConcurrentSkipListMap<>();
    public final Map<Node, Computer> computers = new ConcurrentHashMap<>();
    private final Map<String, LabelAtom> atoms = new ConcurrentHashMap<>();
    private final Map<Class<?>, ExtensionList<?>> extensions = new ConcurrentHashMap<>();
    public int fewest = Integer.MAX_VALUE; // that were left in a list of extensions or actions when one was taken out

    private final List<Action> actions = new CopyOnWriteArrayList<>() {
        @Override public boolean remove(Object o) {
            boolean was = super.remove(o);
            fewest = Math.min(fewest, size());
            return was;
        }
    };
    public int updates;
    public java.io.File rootDir;
    public final PluginManager pluginManager = new PluginManager();

    public static class PluginManager {
        public final ClassLoader uberClassLoader = Jenkins.class.getClassLoader();
    }

    public java.io.File getRootDir() { return rootDir; }
    public PluginManager getPluginManager() { return pluginManager; }

    public static Jenkins get() { return instance; }

    /** Begins another life: what Jenkins keeps in memory is gone. */
    public static Jenkins boot() { return instance = new Jenkins(); }

    @Override public String getNodeName() { return ""; }
    public int numExecutors = 1;
    public Mode mode = Mode.NORMAL;
    public hudson.model.queue.CauseOfBlockage refuses;

    @Override public int getNumExecutors() { return numExecutors; }
    @Override public Mode getMode() { return mode; }
    @Override public hudson.model.queue.CauseOfBlockage canTake(Queue.BuildableItem item) { return refuses; }
    public LabelAtom getSelfLabel() { return getLabelAtom("built-in"); }
    @Override public String getLabelString() { return "cleanable clean"; } // whatever stands there, it is never ours

    public String rootUrl = "http://ci.test/";

    public String getRootUrl() { return rootUrl; }

    public Node getNode(String name) { return byName.get(name); }
    public List<Node> getNodes() { return new ArrayList<>(byName.values()); }
    public Computer getComputerOf(Node node) { return computers.get(node); }
    public LabelAtom getLabelAtom(String name) { return atoms.computeIfAbsent(name, LabelAtom::new); }
    public List<Action> getActions() { return actions; }

    public hudson.init.InitMilestone initLevel = hudson.init.InitMilestone.JOB_CONFIG_ADAPTED;

    public hudson.init.InitMilestone getInitLevel() { return initLevel; }

    public Throwable broken; // what is thrown where extensions are looked for

    @SuppressWarnings("unchecked")
    public <T> ExtensionList<T> getExtensionList(Class<T> type) {
        if (broken != null) Jenkins.<RuntimeException>sneak(broken);
        return (ExtensionList<T>) extensions.computeIfAbsent(type, t -> new ExtensionList<T>());
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable e) throws T { throw (T) e; }

    /** Empties the caches of all labels: the real one chooses. */
    public void trimLabels() { atoms.values().forEach(LabelAtom::forget); }

    /** As Nodes.updateNode: a node that was replaced meanwhile is neither saved nor told of. */
    public boolean updateNode(Node node) throws IOException {
        if (byName.get(node.getNodeName()) != node) return false;
        updates++;
        trimLabels();
        node.save();
        NodeListener.fireOnUpdated(node, node);
        return true;
    }
}
