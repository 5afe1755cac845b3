// SPDX-License-Identifier: Apache-2.0

package hudson.security;

public abstract class AuthorizationStrategy {}
