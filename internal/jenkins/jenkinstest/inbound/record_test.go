// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"bytes"
	"slices"
	"testing"
)

func FuzzRecordsSurviveTheWire(f *testing.F) {
	f.Add(byte(1), uint32(7), []byte("payload"))
	f.Add(byte(18), uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, kind byte, call uint32, payload []byte) {
		sent := record{kind, call, payload}
		got, err := readRecord(bytes.NewReader(sent.encode()))
		if err != nil {
			t.Fatal(err)
		}
		if got.kind != kind || got.call != call || !bytes.Equal(got.payload, payload) {
			t.Errorf("got %v, want %v", got, sent)
		}
	})
}

func FuzzBrokenListsAreErrorsNotPanics(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1})
	f.Add([]byte{255, 255, 255, 255, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := decodeStrings(data)
		if err == nil && !bytes.Equal(encodeStrings(values...), data) {
			t.Errorf("decoding %v lost something: %q", data, values)
		}
	})
}

func TestListsOfStringsKeepEmptyAndBinaryValues(t *testing.T) {
	t.Parallel()
	want := []string{"", "a\x00b", "ü", ""}
	got, err := decodeStrings(encodeStrings(want...))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}

func TestAnOversizedRecordIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	if _, err := readRecord(bytes.NewReader([]byte{255, 255, 255, 255, 1, 0, 0, 0, 0})); err == nil {
		t.Error("a record of 4 GiB was accepted")
	}
}
