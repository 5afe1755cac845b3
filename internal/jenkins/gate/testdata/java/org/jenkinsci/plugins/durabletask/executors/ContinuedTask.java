// SPDX-License-Identifier: Apache-2.0

package org.jenkinsci.plugins.durabletask.executors;

/** Of the plugin durable-task: a task that began before Jenkins was restarted. */
public interface ContinuedTask extends hudson.model.Queue.Task {
    boolean isContinued();
}
