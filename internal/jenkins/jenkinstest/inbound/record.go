// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Kinds of records, as in agent/Session.java.
const (
	kindRun    byte = 1 // strings: directory, script, number of interpreter words, these words, NAME=VALUE...
	kindStop   byte = 2
	kindKill   byte = 3 // strings: NAME=VALUE...
	kindWrite  byte = 4 // the path as a string, 1 to begin the file or 0 to go on, then bytes
	kindHello  byte = 16
	kindOutput byte = 17
	kindDone   byte = 18 // strings: exit status, error or ""
)

const (
	recordHeader = 4 + 1 + 4
	// maxPayload bounds what a connection can make the controller allocate. The
	// agent sends output in small pieces.
	maxPayload = 1 << 20
)

type record struct {
	kind    byte
	call    uint32
	payload []byte
}

func (r record) encode() []byte {
	out := make([]byte, 0, recordHeader+len(r.payload))
	out = binary.BigEndian.AppendUint32(out, uint32(len(r.payload))) //nolint:gosec // payloads are far below 4 GiB
	out = append(out, r.kind)
	out = binary.BigEndian.AppendUint32(out, r.call)
	return append(out, r.payload...)
}

func readRecord(r io.Reader) (record, error) {
	var header [recordHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return record{}, err
	}
	size := binary.BigEndian.Uint32(header[:4])
	if size > maxPayload {
		return record{}, fmt.Errorf("record of %d bytes", size)
	}
	rec := record{kind: header[4], call: binary.BigEndian.Uint32(header[5:]), payload: make([]byte, size)}
	_, err := io.ReadFull(r, rec.payload)
	return rec, err
}

func appendString(to []byte, s string) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(s))) //nolint:gosec // as above
	return append(to, s...)
}

func encodeStrings(values ...string) []byte {
	var out []byte
	for _, v := range values {
		out = appendString(out, v)
	}
	return out
}

var errShortList = errors.New("list of strings is cut short")

func decodeStrings(data []byte) ([]string, error) {
	var values []string
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, errShortList
		}
		size := int64(binary.BigEndian.Uint32(data))
		data = data[4:]
		if size > int64(len(data)) {
			return nil, errShortList
		}
		values = append(values, string(data[:size]))
		data = data[size:]
	}
	return values, nil
}
