// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
)

func TestAgentsAreKnownByWhatJavaRuns(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"java -jar agent.jar": true,
		"/usr/lib/jvm/jre/bin/java -Xmx256m -Djava.io.tmpdir=/x -jar /srv/ci/slave.jar -text":               true,
		"java -jar -Xmx1g /srv/remoting-3256.v88a.jar":                                                      true,
		"java -jar remoting.jar -workDir /home/ci -jar-cache /home/ci/remoting/jarCache":                    true,
		"java -cp /usr/share/jenkins/agent.jar hudson.remoting.jnlp.Main -headless -url http://ci abc name": true,
		"java --add-opens java.base/java.lang=ALL-UNNAMED -classpath a:b hudson.remoting.Launcher":          true,
		"java -jar /opt/ci/swarm-client-3.40.jar -controller http://ci -fsroot /home/ci":                    true,
		"java -cp swarm.jar hudson.plugins.swarm.Client -master http://ci":                                  true,
		"java -jar /opt/ci/node7.jar -jnlpUrl http://other/computer/x/slave-agent.jnlp":                     true,
		"java -jar /opt/ci/node7.jar -url http://other -secret @/etc/ci/secret -name x -workDir /srv/x":     true,
		"java -jar /opt/ci/node7.jar -noReconnect -webSocket":                                               true,

		"java":                                                                false,
		"java -jar /srv/my-agent.jar.txt":                                     false,
		"java -jar /srv/swarm-client.txt":                                     false,
		"java -jar packer.jar agent.jar":                                      false,
		"java -cp agent.jar:app.jar org.example.Main":                         false,
		"java -cp agent.jar org.example.Main hudson.remoting.Launcher":        false,
		"java -javaagent:/srv/agent.jar -jar app.jar":                         false,
		"java -Dremoting=hudson.remoting.Launcher org.junit.Runner agent.jar": false,
		"java org.example.remoting.jar -name x -url y":                        false,
		"java -jar batch.jar -workDir /tmp/x":                                 false,
		"java -jar batch.jar -secret x":                                       false,
		"java -jar batch.jar -url jdbc:x -name y":                             false,
		"java -cp remoting.jar -version":                                      false,
	} {
		if got := scrub.RunsAgent(strings.Fields(line)...); got != want {
			t.Errorf("%s: an agent %v; want %v", line, got, want)
		}
	}
}
