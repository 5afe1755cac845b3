// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import hudson.security.AccessControlled;
import hudson.util.QuotedStringTokenizer;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;

public abstract class Node implements AccessControlled {
    public enum Mode { NORMAL, EXCLUSIVE }

    public abstract String getNodeName();
    public abstract int getNumExecutors();
    public abstract Mode getMode();
    public abstract String getLabelString();
    public void setLabelString(String labelString) throws IOException { throw new UnsupportedOperationException(); }
    public void save() throws IOException {}

    /** Why the node itself does not take an item: its label, its mode, permissions, properties. */
    public hudson.model.queue.CauseOfBlockage canTake(Queue.BuildableItem item) {
        Label label = item.getAssignedLabel();
        boolean reserved = label == null && getMode() == Mode.EXCLUSIVE;
        if (reserved && item.task instanceof Queue.FlyweightTask) {
            Node builtIn = jenkins.model.Jenkins.get();
            reserved = builtIn.getNumExecutors() >= 1 && builtIn.getMode() != Mode.EXCLUSIVE;
        }
        if (!reserved && (label == null || label.contains(this))) return null;
        return new hudson.model.queue.CauseOfBlockage() {
            @Override public String getShortDescription() { return reservedText; }
        };
    }

    private static final String reservedText = "reserved";

    public final Computer toComputer() { return jenkins.model.Jenkins.get().getComputerOf(this); }

    /** Own labels and the name; Jenkins returns atoms here and asks its label finders as well. */
    public Set<String> getAssignedLabels() {
        Set<String> all = new HashSet<>();
        all.add(getNodeName());
        QuotedStringTokenizer t = new QuotedStringTokenizer(getLabelString());
        while (t.hasMoreTokens()) all.add(t.nextToken());
        return all;
    }

    @Override public String getDisplayName() { return getNodeName(); }
}
