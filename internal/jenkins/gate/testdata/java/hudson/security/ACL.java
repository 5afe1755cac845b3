// SPDX-License-Identifier: Apache-2.0

package hudson.security;

import org.springframework.security.core.Authentication;

/** As hudson.security.ACL since 2.266: has the thread act as somebody, of whom the stubs know but the system itself. */
public abstract class ACL {
    public static final Authentication SYSTEM2 = new Authentication() {};

    public static ACLContext as2(Authentication auth) {
        ACLContext context = new ACLContext(AccessControlled.GRANTED.get());
        AccessControlled.GRANTED.remove();
        return context;
    }
}
