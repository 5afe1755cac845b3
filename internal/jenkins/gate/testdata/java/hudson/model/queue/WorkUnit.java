// SPDX-License-Identifier: Apache-2.0

package hudson.model.queue;

/** As hudson.model.queue.WorkUnit: what one executor does of an item. */
public final class WorkUnit {
    public final WorkUnitContext context;

    public WorkUnit(WorkUnitContext context) { this.context = context; }
}
