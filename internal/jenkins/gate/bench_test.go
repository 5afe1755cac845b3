// SPDX-License-Identifier: Apache-2.0

package gate

import "testing"

// BenchmarkVeto is what one question of Jenkins' queue costs, on this Java machine once it is warm: for an agent that is not the
// gate's, for one that is not clean, and for one that is, with four executors. Stubs stand for Jenkins' own getters.
func BenchmarkVeto(b *testing.B) {
	j := boot(b)
	j.on("foreign", "node", "labels", "el7 x86_64 docker kvm")
	for _, name := range []string{"unclean", "clean"} {
		j.on(name, "node", "labels", "cleanable el7 x86_64 docker kvm", "executors", 4)
	}
	j.must("claim", "clean", "attempt", 1, "job", "slot")
	j.must("grant", "clean", "attempt", 1)
	item := j.item("job", "real")
	for _, name := range []string{"foreign", "unclean", "clean"} {
		var took float64
		for range 5 { // the last is what counts
			took = j.on(name, "cost", "item", item, "times", 200_000).(float64)
		}
		b.ReportMetric(took, "ns/"+name)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkConsumption is what it costs Jenkins' queue that a build begins on a clean agent: ledger, label and event, without the
// time that the disk takes for the agent's file. Stubs stand for Jenkins' own getters.
func BenchmarkConsumption(b *testing.B) {
	j := boot(b)
	j.on("a", "node", "labels", "cleanable el7 x86_64 docker kvm", "executors", 2)
	item := j.item("job", "real")
	var took float64
	for range 3 { // the last is what counts
		took = j.on("a", "consumption", "item", item, "times", 500).(float64)
		j.must("withdraw", "a")
	}
	b.ReportMetric(took/1000, "us/consumption")
	b.ReportMetric(0, "ns/op")
}
