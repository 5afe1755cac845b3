// SPDX-License-Identifier: Apache-2.0

package hudson.model;

import java.io.IOException;

public abstract class Slave extends Node {
    private final String name;
    private final int numExecutors;
    private final Mode mode;
    private volatile String label;

    protected Slave(String name, int numExecutors, Mode mode, String label) {
        this.name = name;
        this.numExecutors = numExecutors;
        this.mode = mode;
        this.label = label;
    }

    @Override public String getNodeName() { return name; }
    @Override public int getNumExecutors() { return numExecutors; }
    @Override public Mode getMode() { return mode; }
    @Override public String getLabelString() { return label; }
    @Override public void setLabelString(String labelString) throws IOException { label = labelString == null ? "" : labelString.trim(); }

    // Nodes are the same by class and name (jenkins-reference 2.1).
    @Override public boolean equals(Object o) { return o != null && o.getClass() == getClass() && ((Slave) o).name.equals(name); }
    @Override public int hashCode() { return name.hashCode(); }
}
