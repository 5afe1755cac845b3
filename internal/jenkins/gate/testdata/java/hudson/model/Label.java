// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Label, of which the gate asks whether it matches, and whose cache it empties. */
public abstract class Label {
    public int resets;

    public abstract boolean matches(java.util.Collection<String> labels);

    public final boolean matches(Node node) { return matches(node.getAssignedLabels()); }

    /*package*/ void reset() { resets++; }
}
