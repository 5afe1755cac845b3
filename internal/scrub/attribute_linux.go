// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attribute is the value of an extended attribute (xattr(7)) in base64, "" if there is none.
type attribute string

const (
	aclName        = "system.posix_acl_access"
	capabilityName = "security.capability"
)

// readAttribute reads an attribute of an open file.
func readAttribute(f *os.File, name string) (attribute, error) {
	value := make([]byte, 64<<10) // the kernel's XATTR_SIZE_MAX
	n, err := unix.Fgetxattr(int(f.Fd()), name, value)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return attribute(base64.StdEncoding.EncodeToString(value[:n])), nil
}

// write gives an open file the attribute, if there is one.
func (a attribute) write(fd int, name string) error {
	if a == "" {
		return nil
	}
	value, err := base64.StdEncoding.DecodeString(string(a))
	if err == nil {
		err = unix.Fsetxattr(fd, name, value, 0)
	}
	if err != nil {
		return fmt.Errorf("give it its %s: %w", name, err)
	}
	return nil
}
