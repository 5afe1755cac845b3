// SPDX-License-Identifier: Apache-2.0

package rollout

import "math"

// chance is how probable a number of failures may be by chance alone before it counts against a revision. The
// evidence of a stage is looked at after each cleanup, so that the probability of being wrong once in a whole stage is
// some times greater: one in a hundred for a look leaves it at a few.
const chance = 0.01

// BinomialTail is the probability that of n independent tries at least k fail where each does with probability p: the
// one-sided exact binomial test of "no more than p". That it is below a chance says the same as that the lower
// Clopper-Pearson bound at this chance lies above p. Normal approximations are of no use for three cleanups.
func BinomialTail(k, n int, p float64) float64 {
	switch {
	case k <= 0 || p >= 1:
		return 1
	case k > n || p <= 0:
		return 0
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// FisherTail is the probability that at least k of n tries fail when m others failed j times, where both kinds fail
// alike: Fisher's one-sided exact test of "no worse than the others". It takes the number of failures as given, needs no
// rate to be known, and is exact for the smallest samples. Without others it is 1.
func FisherTail(k, n, j, m int) float64 {
	failed, all := k+j, n+m
	sum := 0.0
	for i := k; i <= min(n, failed); i++ {
		if failed-i > m {
			continue
		}
		sum += math.Exp(logChoose(n, i) + logChoose(m, failed-i) - logChoose(all, failed))
	}
	return min(sum, 1)
}

// logChoose is the logarithm of the number of ways to choose k of n.
func logChoose(n, k int) float64 {
	return logFactorial(n) - logFactorial(k) - logFactorial(n-k)
}

func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}
