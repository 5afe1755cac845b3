// SPDX-License-Identifier: Apache-2.0

package hudson.model;

public abstract class UserProperty {
    protected transient User user;

    protected void setUser(User user) { this.user = user; }
}
