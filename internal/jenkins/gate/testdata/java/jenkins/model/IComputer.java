// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

/** What hudson.model.Computer implements since 2.480: of its methods those that the gate calls of a computer. */
public interface IComputer {
    String getName();

    boolean isOffline();

    boolean isAcceptingTasks();

    boolean isOnline();
}
