// SPDX-License-Identifier: Apache-2.0

package hudson.model;

/** As hudson.model.Job: what builds are of. */
public abstract class Job implements Item {}
