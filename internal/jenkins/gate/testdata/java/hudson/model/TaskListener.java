// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public interface TaskListener {}
