// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public interface Action {
    String getIconFileName();
    String getDisplayName();
    String getUrlName();
}
