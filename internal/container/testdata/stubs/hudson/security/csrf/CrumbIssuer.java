// SPDX-License-Identifier: Apache-2.0

package hudson.security.csrf;

public abstract class CrumbIssuer {}
