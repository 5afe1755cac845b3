// SPDX-License-Identifier: Apache-2.0

package hudson.security;

public class AccessDeniedException3 extends RuntimeException {
    public AccessDeniedException3(String message) { super(message); }
}
