// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"sync"
)

// cksum returns what the POSIX utility of that name computes of data: CRC and length, with a colon between. It is for
// machines that cannot compute SHA-256.
func cksum(data []byte) string {
	var crc uint32
	table := cksumTable()
	for _, b := range data {
		crc = crc<<8 ^ table[byte(crc>>24)^b]
	}
	for n := len(data); n > 0; n >>= 8 {
		crc = crc<<8 ^ table[byte(crc>>24)^byte(n)]
	}
	return fmt.Sprintf("%d:%d", ^crc, len(data))
}

// cksumTable is that of the polynomial 0x04c11db7, most significant bit first; hash/crc32 has the reflected form only.
var cksumTable = sync.OnceValue(func() *[256]uint32 {
	var table [256]uint32
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return &table
})
