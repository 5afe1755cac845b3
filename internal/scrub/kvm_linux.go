// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// kvm judges whether the kernel can run virtual machines for the user that builds. It makes nothing.
type kvm struct {
	goal spec.KVM
	here Here
	root string // of the machine; "" for ours
	// version asks an open device for the version of its interface.
	version func(fd int) (int, error)
}

func newKVM(s spec.Spec, here Here) Step { return &kvm{*s.KVM, here, "", kvmVersion} }

// KVM_GET_API_VERSION of linux/kvm.h is _IO(0xae, 0), whose upper bits are as in any ioctl that moves nothing; the answer
// is 12 on every kernel since 2.6.22, and a program is to refuse all others (Documentation/virt/kvm/api.rst).
const (
	kvmGetAPIVersion = unix.BLKROGET&^0xffff | 0xae00
	kvmAPIVersion    = 12
)

func kvmVersion(fd int) (int, error) { return unix.IoctlRetInt(fd, kvmGetAPIVersion) }

// nesting are the parameters of modules that say whether machines may run machines: of Intel, AMD, POWER and s390x.
var nesting = []string{
	"/sys/module/kvm_intel/parameters/nested", "/sys/module/kvm_amd/parameters/nested",
	"/sys/module/kvm_hv/parameters/nested", "/sys/module/kvm/parameters/nested",
}

const kvmDevice = "/dev/kvm"

// Look finds what keeps machines from being run.
func (k *kvm) Look(ctx context.Context) ([]Deviation, error) {
	var found []Deviation
	why, err := k.unusable(ctx)
	if err != nil {
		return nil, err
	}
	if why != "" {
		found = append(found, lack("device", kvmDevice, why))
	}
	if d, lacks := k.notNested(); k.goal.Nested && lacks {
		found = append(found, d)
	}
	return found, nil
}

func (k *kvm) Mend(_ context.Context, found []Deviation) []error { return make([]error, len(found)) }

// unusable says why the device cannot be used, "" if it can.
func (k *kvm) unusable(ctx context.Context) (string, error) {
	who, err := k.here.builder(ctx)
	if err != nil {
		return "", err
	}
	fd, err := who.open(k.root+kvmDevice, unix.O_RDWR)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "it is not there: the modules kvm and kvm_intel (or kvm_amd) are not loaded, or firmware, hypervisor or container keep it from this machine", nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Sprintf("user %d cannot open it (%s)", who.uid, rightsOf(k.root+kvmDevice)), nil
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "it is there, but the kernel has no KVM behind it", nil
	case err != nil:
		return "", fmt.Errorf("open %s: %w", kvmDevice, err)
	}
	defer unix.Close(fd)
	switch version, err := k.version(fd); {
	case err != nil:
		return fmt.Sprintf("what is there is no KVM: %v", err), nil
	case version != kvmAPIVersion:
		return fmt.Sprintf("it speaks version %d; want %d", version, kvmAPIVersion), nil
	}
	return "", nil
}

// rightsOf says who may use a file.
func rightsOf(p string) string {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("it belongs to user %d and group %d, with mode %04o", st.Uid, st.Gid, st.Mode&0o7777)
}

// notNested says why machines cannot run machines.
func (k *kvm) notNested() (d Deviation, lacks bool) {
	for _, name := range nesting {
		text, err := os.ReadFile(k.root + name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		switch value := strings.TrimSpace(string(text)); {
		case err != nil:
			return lack("nested", name, err.Error()), true
		case value == "Y" || value == "1":
			return d, false
		default:
			return lack("nested", name, fmt.Sprintf("nested virtualisation is off (%q)", value)), true
		}
	}
	return lack("nested", "nested virtualisation", "no module of KVM is loaded that tells of it"), true
}

// builder is the user that builds run as, with the groups that count for it.
type builder struct {
	uid    int
	groups []int // the first is the one of its own
}

// builder returns that of the agent's own process, or else of whoever started us, by sudo too.
func (h Here) builder(ctx context.Context) (builder, error) {
	uid, groups, ok := agentGroups()
	if !ok {
		user := agentUser()
		if user == os.Geteuid() {
			return builder{uid: user}, nil
		}
		name := os.Getenv("SUDO_USER")
		if name == "" {
			name = strconv.Itoa(user)
		}
		id, err := h.tool("id")
		if err != nil {
			return builder{}, err
		}
		text, err := id.run(ctx, "-G", "--", name)
		if err != nil {
			return builder{}, err
		}
		uid, groups = strconv.Itoa(user), strings.Fields(string(text))
	}
	var b builder
	var err error
	if b.uid, err = strconv.Atoi(uid); err != nil {
		return b, fmt.Errorf("user %q: %w", uid, err)
	}
	for _, group := range groups {
		gid, err := strconv.Atoi(group)
		if err != nil {
			return b, fmt.Errorf("group %q: %w", group, err)
		}
		b.groups = append(b.groups, gid)
	}
	return b, nil
}

// open opens a file with the rights of the user, if that is another one than we are and we may.
func (b builder) open(p string, flags int) (fd int, err error) {
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK
	if b.uid == os.Geteuid() || os.Geteuid() != 0 || len(b.groups) == 0 {
		return unix.Open(p, flags, 0)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// These change one thread. It is never unlocked, so that it ends here with all that it has become. The user
		// counts for files only (setfsuid(2)): it cannot send us signals meanwhile.
		runtime.LockOSThread()
		if err = unix.Setgroups(b.groups); err != nil {
			fd = -1
			return
		}
		_, _ = unix.SetfsgidRetGid(b.groups[0])
		_, _ = unix.SetfsuidRetUid(b.uid)
		if now, _ := unix.SetfsuidRetUid(-1); now != b.uid {
			fd, err = -1, fmt.Errorf("become user %d: it is still %d", b.uid, now)
			return
		}
		fd, err = unix.Open(p, flags, 0)
	}()
	<-done
	return fd, err
}
