// SPDX-License-Identifier: Apache-2.0

package main

import "iter"

// collect takes everything; it is never nil, so that JSON shows an empty list.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	out := []T{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}
