// SPDX-License-Identifier: Apache-2.0

import groovy.lang.Binding;
import groovy.lang.GroovyCodeSource;
import groovy.lang.GroovyShell;
import hudson.model.User;
import hudson.security.FullControlOnceLoggedInAuthorizationStrategy;
import hudson.security.HudsonPrivateSecurityRealm;
import java.io.File;
import java.util.Arrays;
import jenkins.model.Jenkins;
import jenkins.model.JenkinsLocationConfiguration;
import jenkins.security.ApiTokenProperty;

/** Runs the init scripts of a home as Jenkins does, a number of times, and prints what they have set. */
public final class Harness {
    public static void main(String[] args) throws Exception {
        File home = new File(args[0]);
        Jenkins j = Jenkins.instance = new Jenkins(home);
        File[] scripts = new File(home, "init.groovy.d").listFiles((dir, name) -> name.endsWith(".groovy"));
        Arrays.sort(scripts);
        for (int start = 0; start < Integer.parseInt(args[1]); start++) {
            for (File script : scripts) {
                try { // jenkins.util.groovy.GroovyHookScript#execute
                    new GroovyShell(Harness.class.getClassLoader(), new Binding()).evaluate(new GroovyCodeSource(script));
                } catch (RuntimeException x) {
                    System.out.println("WARNING: Failed to run script " + x);
                }
            }
        }
        System.out.println("realm without signup=" + (j.realm instanceof HudsonPrivateSecurityRealm && !((HudsonPrivateSecurityRealm) j.realm).signup));
        FullControlOnceLoggedInAuthorizationStrategy rights = (FullControlOnceLoggedInAuthorizationStrategy) j.strategy;
        System.out.println("anonymous=" + rights.isAllowAnonymousRead());
        System.out.println("crumbs=" + (j.crumbs != null));
        System.out.println("executors=" + j.executors + " port=" + j.port + " saves=" + j.saves);
        System.out.println("url=" + JenkinsLocationConfiguration.get().getUrl());
        User user = User.ALL.get(args[2]);
        System.out.println("users=" + User.ALL.size() + " saved=" + (user.saves > 0));
        System.out.println("tokens=" + user.getProperty(ApiTokenProperty.class).tokens);
        System.out.println("password=" + user.password);
    }
}
