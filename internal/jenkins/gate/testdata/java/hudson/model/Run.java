// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Run: a build of a job. Its address is below the root of Jenkins. */
public abstract class Run implements Queue.Executable {
    public abstract String getUrl();

    public abstract Job getParent();
}
