// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Label: matches asks the node, contains a cache of nodes that is made when it is first asked. */
public abstract class Label {
    public int resets;

    public abstract boolean matches(java.util.Collection<String> labels);

    public final boolean matches(Node node) { return matches(node.getAssignedLabels()); }

    private java.util.Set<Node> nodes;

    public boolean contains(Node node) {
        if (nodes == null) {
            java.util.Set<Node> found = new java.util.HashSet<>();
            for (Node n : jenkins.model.Jenkins.get().getNodes()) if (matches(n)) found.add(n);
            nodes = found;
        }
        return nodes.contains(node);
    }

    public void forget() { nodes = null; }

    /*package*/ void reset() {
        resets++;
        nodes = null;
    }
}
