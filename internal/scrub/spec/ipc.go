// SPDX-License-Identifier: Apache-2.0

package spec

// IPC asks that no shared memory, semaphores or message queues of System V are left that an owned user owns or has made,
// and no message queues of POSIX that one owns. What a process of another user has attached or open stays. POSIX shared
// memory and semaphores are files in /dev/shm.
type IPC struct{}
