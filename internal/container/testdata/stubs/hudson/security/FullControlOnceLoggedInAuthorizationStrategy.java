// SPDX-License-Identifier: Apache-2.0

package hudson.security;

public class FullControlOnceLoggedInAuthorizationStrategy extends AuthorizationStrategy {
    private boolean denyAnonymousReadAccess; // false: the default lets anybody read

    public boolean isAllowAnonymousRead() { return !denyAnonymousReadAccess; }

    public void setAllowAnonymousRead(boolean allowAnonymousRead) { denyAnonymousReadAccess = !allowAnonymousRead; }
}
