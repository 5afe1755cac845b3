// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

/** What hudson.model.Executor implements since 2.480: the compiler gives that a second getOwner(), with the type that stands here. */
public interface IExecutor {
    boolean isIdle();

    IComputer getOwner();

    int getNumber();
}
