// SPDX-License-Identifier: Apache-2.0

package hudson.security.csrf;

public class DefaultCrumbIssuer extends CrumbIssuer {
    public DefaultCrumbIssuer(boolean excludeClientIPFromCrumb) {}
}
