// SPDX-License-Identifier: Apache-2.0

package jenkins.model;

import hudson.security.AuthorizationStrategy;
import hudson.security.SecurityRealm;
import hudson.security.csrf.CrumbIssuer;
import java.io.File;
import java.io.IOException;

/** What the seed uses of it, with the signatures of 2.346; they are the same in 2.579. */
public class Jenkins {
    public static Jenkins instance;
    public final File root;
    public SecurityRealm realm;
    public AuthorizationStrategy strategy;
    public CrumbIssuer crumbs;
    public int executors = 2;
    public int port;
    public int saves;

    public Jenkins(File root) { this.root = root; }

    public static Jenkins get() throws IllegalStateException { return instance; }

    public File getRootDir() { return root; }

    public SecurityRealm getSecurityRealm() { return realm; }

    public void setSecurityRealm(SecurityRealm realm) { this.realm = realm; }

    public AuthorizationStrategy getAuthorizationStrategy() { return strategy; }

    public void setAuthorizationStrategy(AuthorizationStrategy strategy) { this.strategy = strategy; }

    public CrumbIssuer getCrumbIssuer() { return crumbs; }

    public void setCrumbIssuer(CrumbIssuer crumbs) { this.crumbs = crumbs; }

    public void setNumExecutors(int executors) throws IOException, IllegalArgumentException { this.executors = executors; }

    public void setSlaveAgentPort(int port) throws IOException { this.port = port; }

    public synchronized void save() throws IOException { saves++; }
}
