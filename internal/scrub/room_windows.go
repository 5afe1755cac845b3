// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// roomAt asks the volume that holds path.
func roomAt(path string) (room, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return room{}, err
	}
	var free, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, &all, nil); err != nil {
		return room{}, os.NewSyscallError("GetDiskFreeSpaceEx", err)
	}
	return room{bytes: int64(min(free, math.MaxInt64)), allBytes: int64(min(all, math.MaxInt64))}, nil
}
