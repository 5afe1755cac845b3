// SPDX-License-Identifier: Apache-2.0

package hudson.model.queue;

import hudson.model.Queue;

public abstract class QueueListener implements hudson.ExtensionPoint {
    public void onLeft(Queue.LeftItem li) {}
}
