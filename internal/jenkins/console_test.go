// SPDX-License-Identifier: Apache-2.0

package jenkins

import "testing"

func TestTheConsoleOfABuildTellsThatItsAgentWasLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		console string
		want    bool
	}{
		"a shell step over TCP":        {"| a\nFATAL: command execution failed\njava.nio.channels.ClosedChannelException\n\tat x\nCaused: java.io.IOException: Backing channel 'a' is disconnected.\n", true},
		"a shell step over SSH":        {"FATAL: command execution failed\njava.io.EOFException\n\tat x\nCaused: java.io.IOException: Unexpected termination of the channel\n", true},
		"a line cut short before it":   {"| half a liFATAL: la commande a échoué\nCaused by: hudson.remoting.ChannelClosedException: Channel \"a\": closed\n", true},
		"a request that was cut short": {"FATAL: hudson.remoting.RequestAbortedException: java.io.EOFException\r\n", true},
		"another kind of step":         {"Agent went offline during the build\nERROR: Connection was broken: java.io.IOException\n", true},
		"a step that failed":           {"| a\nBuild step 'Execute shell' marked build as failure\nFinished: FAILURE\n", false},
		"quoted by a step":             {"| FATAL: hudson.remoting.ChannelClosedException\n| Agent went offline during the build\n", false},
		"within a line":                {"pitcrew: Connection was broken\n\tat hudson.remoting.ChannelClosedException\n", false},
		"nothing":                      {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ConnectionLost([]byte(c.console)); got != c.want {
				t.Errorf("got %t for %q", got, c.console)
			}
		})
	}
}
