// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Item: what has a name among the jobs. */
public interface Item {
    hudson.security.Permission READ = new hudson.security.Permission("Job/Read");

    String getFullName();
}
