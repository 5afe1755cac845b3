// SPDX-License-Identifier: Apache-2.0
//
// The seed of an ephemeral controller of pitcrew: one user with an API token, who may do anything, and nobody else. Runs as an init script,
// before requests are served, on Jenkins 2.346 and newer, without plugins.
//
// What goes wrong here ends Jenkins. It would log the failure of an init script and go on (jenkins.util.groovy.GroovyHookScript#execute),
// and then anybody could do anything.

import hudson.model.User
import hudson.security.FullControlOnceLoggedInAuthorizationStrategy
import hudson.security.HudsonPrivateSecurityRealm
import hudson.security.csrf.DefaultCrumbIssuer
import java.nio.file.Files
import java.security.SecureRandom
import jenkins.model.Jenkins
import jenkins.model.JenkinsLocationConfiguration
import jenkins.security.ApiTokenProperty

try {
    def jenkins = Jenkins.get()
    def dir = new File(jenkins.rootDir, 'pitcrew-seed')
    def name = new File(dir, 'user').getText('UTF-8').trim()
    def tokenFile = new File(dir, 'token')

    if (!tokenFile.exists()) {
        // A restart. What the first start has set is in the configuration; only that is good enough.
        def seeded = jenkins.securityRealm instanceof HudsonPrivateSecurityRealm &&
            jenkins.authorizationStrategy instanceof FullControlOnceLoggedInAuthorizationStrategy &&
            !jenkins.authorizationStrategy.allowAnonymousRead && User.getById(name, false) != null
        if (!seeded) throw new IllegalStateException("there is no ${tokenFile}, and no seed was planted before")
    } else {
        def token = tokenFile.getText('UTF-8').trim()
        Files.delete(tokenFile.toPath())

        def realm = new HudsonPrivateSecurityRealm(false, false, null) // nobody signs up
        def password = new byte[24] // nobody keeps it
        new SecureRandom().nextBytes(password)
        def user = realm.createAccount(name, password.encodeHex().toString())
        jenkins.securityRealm = realm
        def rights = new FullControlOnceLoggedInAuthorizationStrategy()
        rights.allowAnonymousRead = false
        jenkins.authorizationStrategy = rights
        if (jenkins.crumbIssuer == null) jenkins.crumbIssuer = new DefaultCrumbIssuer(true)

        def property = user.getProperty(ApiTokenProperty)
        if (property == null) {
            property = new ApiTokenProperty()
            user.addProperty(property)
        }
        property.addFixedNewToken('pitcrew', token)
        user.save()

        jenkins.numExecutors = 0
        jenkins.slaveAgentPort = -1 // agents come by WebSocket

        // The port that an engine has chosen is known only when the container runs already: then this file comes after us.
        def urlFile = new File(dir, 'url')
        def until = System.nanoTime() + 60L * 1000000000L
        while (!(urlFile.exists() && urlFile.getText('UTF-8').endsWith('\n'))) {
            if (System.nanoTime() > until) throw new IllegalStateException("there is no ${urlFile} after a minute")
            Thread.sleep(100)
        }
        JenkinsLocationConfiguration.get().url = urlFile.getText('UTF-8').trim()
        jenkins.save()
    }
    println "pitcrew: this controller is ${name}'s alone"
} catch (Throwable t) {
    System.err.println('pitcrew: the seed was not planted, so this controller ends')
    t.printStackTrace()
    System.err.flush()
    Runtime.runtime.halt(70)
}
