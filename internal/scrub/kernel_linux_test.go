// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oldKernel says that this run is one on an old kernel.
const oldKernel = "SCRUB_TEST_OLD_KERNEL"

// since310 are the system calls that came after Linux 3.10, which is the oldest that agents have (el7), but for those that the tests
// themselves are made with: seccomp, and renameat2 for the adversaries.
var since310 = []uint32{
	unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_GETATTR, unix.SYS_GETRANDOM, unix.SYS_MEMFD_CREATE, unix.SYS_BPF, unix.SYS_EXECVEAT,
	unix.SYS_MEMBARRIER, unix.SYS_MLOCK2, unix.SYS_COPY_FILE_RANGE, unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_STATX,
	unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_CLONE3, unix.SYS_CLOSE_RANGE, unix.SYS_OPENAT2, unix.SYS_FACCESSAT2, unix.SYS_FCHMODAT2, unix.SYS_EPOLL_PWAIT2,
	unix.SYS_PROCESS_MADVISE, unix.SYS_LANDLOCK_CREATE_RULESET,
}

// forbid has system calls answer this process, and all that it starts, as a kernel does that lacks them.
func forbid(calls []uint32) error {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the number of the call
	for _, call := range calls {
		filter = append(
			filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		)
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return nil
}

// without makes this process one on a kernel that lacks system calls, until it ends.
func without(t *testing.T, calls ...uint32) {
	t.Helper()
	if err := forbid(calls); err != nil {
		t.Fatal(err)
	}
}

// TestAnOldKernelIsEnough runs tests of all that asks the kernel for something once more, on one that lacks every call since Linux 3.10;
// not those that need loop devices, which are the machine's.
func TestAnOldKernelIsEnough(t *testing.T) {
	t.Parallel()
	asRoot(t)
	tests := []string{
		"TestProcessesEndOnEvidenceOnly", "TestProcessesThatDoNotWantToEnd",
		"TestPathsOfOtherMountsAreNotOurs", "TestNobodyHidesInANamespaceOfTheirOwn", "TestControlGroupsAreFrozenThatHoldNothingElse",
		"TestMountsGoOnlyBelowOwnedPaths", "TestMountsAreMadeAsWanted", "TestSwappedPathsNeverMisleadUnmounting",
		"TestOwnedDirectoriesAreEmptiedAndStay", "TestOfSharedDirectoriesOnlyOwnThingsGo", "TestSocketsStayByWhateverNameTheyWereBound",
		"TestOwnedLinksAreRemoved", "TestOwnedNamespacesAreGivenUp", "TestIPCOfOwnedUsersIsRemoved", "TestQueuesOfOwnedUsersAreRemoved",
		"TestFilesArePlacedAsRootAndGivenBack", "TestValuesOfTheKernelAreSet", "TestClocksAreJudgedByServersThatKnowTheTime",
	}
	passOnceMore(t, append(os.Environ(), oldKernel+"=1"), tests...)
}
