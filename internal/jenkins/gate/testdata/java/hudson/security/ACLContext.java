// SPDX-License-Identifier: Apache-2.0

package hudson.security;

import java.util.Set;

public class ACLContext implements AutoCloseable {
    private final Set<String> before;

    ACLContext(Set<String> before) { this.before = before; }

    @Override public void close() { AccessControlled.GRANTED.set(before); }
}
