// SPDX-License-Identifier: Apache-2.0

package hudson.model.queue;

import hudson.model.Node;
import hudson.model.Queue;

public abstract class QueueTaskDispatcher implements hudson.ExtensionPoint {
    public CauseOfBlockage canTake(Node node, Queue.BuildableItem item) { return null; }
    public CauseOfBlockage canRun(Queue.Item item) { return null; }
}
