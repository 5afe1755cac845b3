// SPDX-License-Identifier: Apache-2.0

package hudson.model.labels;

public class LabelAtom extends hudson.model.Label {
    private final String name;

    public LabelAtom(String name) { this.name = name; }

    public String getName() { return name; }

    @Override public boolean matches(java.util.Collection<String> labels) { return labels.contains(name); }
}
