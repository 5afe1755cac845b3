// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

import hudson.model.Node;

public abstract class NodeListener implements hudson.ExtensionPoint {
    protected void onCreated(Node node) {}
    protected void onUpdated(Node oldOne, Node newOne) {}
    protected void onDeleted(Node node) {}

    // The methods are protected: Jenkins calls them from here.
    public static void fireOnUpdated(Node oldOne, Node newOne) {
        for (NodeListener l : Jenkins.get().getExtensionList(NodeListener.class)) l.onUpdated(oldOne, newOne);
    }

    public static void fireOnDeleted(Node node) {
        for (NodeListener l : Jenkins.get().getExtensionList(NodeListener.class)) l.onDeleted(node);
    }
}
