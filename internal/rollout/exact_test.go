// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*max(1, math.Abs(want)) }

func TestBinomialTailHasKnownValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n int
		p    float64
		want float64
	}{
		{0, 5, 0.3, 1},
		{1, 1, 0.1, 0.1},
		{3, 3, 0.1, 0.001},
		{1, 2, 0.5, 0.75},
		{8, 10, 0.5, 56.0 / 1024}, // of ten throws of a coin: 45 + 10 + 1 ways
		{60, 100, 0.5, 0.028443966820490395},
		{1, 3, 0, 0}, // none may fail
		{3, 3, 1, 1}, // any may
		{4, 3, 0.5, 0},
	} {
		if got := rollout.BinomialTail(c.k, c.n, c.p); !near(got, c.want) {
			t.Errorf("at least %d of %d at %v: %v, want %v", c.k, c.n, c.p, got, c.want)
		}
	}
}

func TestFisherTailHasKnownValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n, j, m int
		want       float64
	}{
		{3, 4, 1, 4, 17.0 / 70}, // the lady tasting tea, three of four right (Fisher, The Design of Experiments)
		{4, 4, 0, 4, 1.0 / 70},  // all four
		{2, 2, 0, 100, 1.0 / 5151},
		{1, 1, 0, 1000, 1.0 / 1001},
		{3, 3, 0, 0, 1}, // nothing to compare with
		{0, 3, 5, 9, 1},
		{5, 5, 5, 5, 1},
	} {
		if got := rollout.FisherTail(c.k, c.n, c.j, c.m); !near(got, c.want) {
			t.Errorf("%d of %d against %d of %d: %v, want %v", c.k, c.n, c.j, c.m, got, c.want)
		}
	}
}

// TestTailsAreThoseOfWholeNumbers compares with sums of binomial coefficients that know no rounding.
func TestTailsAreThoseOfWholeNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(1, 60).Draw(t, "n"), rapid.IntRange(0, 300).Draw(t, "m")
		k, j := rapid.IntRange(0, n).Draw(t, "k"), rapid.IntRange(0, m).Draw(t, "j")
		sum, term := new(big.Int), new(big.Int)
		for i := k; i <= min(n, k+j); i++ {
			if k+j-i <= m {
				sum.Add(sum, term.Mul(new(big.Int).Binomial(int64(n), int64(i)), new(big.Int).Binomial(int64(m), int64(k+j-i))))
			}
		}
		want, _ := new(big.Rat).SetFrac(sum, new(big.Int).Binomial(int64(n+m), int64(k+j))).Float64()
		if got := rollout.FisherTail(k, n, j, m); !near(got, want) {
			t.Fatalf("%d of %d against %d of %d: %v, want %v", k, n, j, m, got, want)
		}
		percent := rapid.IntRange(1, 99).Draw(t, "percent")
		sum.SetInt64(0)
		for i := k; i <= n; i++ { // of hundredths
			ways := new(big.Int).Binomial(int64(n), int64(i))
			ways.Mul(ways, new(big.Int).Exp(big.NewInt(int64(percent)), big.NewInt(int64(i)), nil))
			sum.Add(sum, ways.Mul(ways, new(big.Int).Exp(big.NewInt(int64(100-percent)), big.NewInt(int64(n-i)), nil)))
		}
		want, _ = new(big.Rat).SetFrac(sum, new(big.Int).Exp(big.NewInt(100), big.NewInt(int64(n)), nil)).Float64()
		if got := rollout.BinomialTail(k, n, float64(percent)/100); !near(got, want) {
			t.Fatalf("at least %d of %d at %d%%: %v, want %v", k, n, percent, got, want)
		}
	})
}
