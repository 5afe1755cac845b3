// SPDX-License-Identifier: Apache-2.0

package hudson.model.queue;

import hudson.model.Queue;

/** As hudson.model.queue.WorkUnitContext: what the work units of an item have in common. */
public class WorkUnitContext {
    public final Queue.BuildableItem item;

    public WorkUnitContext(Queue.BuildableItem item) { this.item = item; }
}
