// SPDX-License-Identifier: Apache-2.0

package hudson.security;

public final class Permission {
    public final String name;

    public Permission(String name) { this.name = name; }
}
