// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Item: what has a name among the jobs, and permissions of its own. */
public interface Item extends hudson.security.AccessControlled {
    hudson.security.Permission READ = new hudson.security.Permission("Job/Read");

    String getFullName();
}
