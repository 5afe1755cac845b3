// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public interface ExecutorListener extends hudson.ExtensionPoint {
    default void taskAccepted(Executor executor, Queue.Task task) {}
    default void taskStarted(Executor executor, Queue.Task task) {}
    default void taskCompleted(Executor executor, Queue.Task task, long durationMS) {}
    default void taskCompletedWithProblems(Executor executor, Queue.Task task, long durationMS, Throwable problems) {}
}
