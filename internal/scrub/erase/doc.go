// SPDX-License-Identifier: Apache-2.0

// Package erase removes file trees that are ours on machines that are not, while others rename, swap, mount and refill them.
//
// A Tree is an open directory that we own. Its entries are what stands directly in it; a Policy selects some of them, Look lists those,
// Remove and Empty remove them with all below. A Problem says why a name stays; what is gone already, whoever removed it, is success.
//
// Invariants, on Linux:
//
//   - Everything is done relative to descriptors of directories, by single names; no symbolic link is followed at any depth, below the tree
//     or in opening a directory again. On the way to the tree only links that root alone can have made are.
//   - What is mounted below the tree is neither entered nor changed, be it another file system or a bind mount of the same one: the kernel
//     refuses (openat2), or each descriptor's mount is compared (kernels before 5.6). Unmounting is somebody else's work.
//   - Before names are removed from a directory, and before it is removed itself, the kernel is asked whether the tree is exactly as many
//     levels above it as it should be. The question is repeated after 32 names; below 32 levels after an eighth as many names as there are
//     levels, if that is more.
//   - A file's contents, mode and owner are never changed. Flags of a file that has other names are, if at all, taken off for the time of
//     one removal, and only when asked. A directory's mode and flags are changed only if it is the tree's and bars its own removal.
//   - The number of open descriptors is bounded, at any depth; so are the rounds for a directory that is filled again. Time is bounded by
//     the context only.
//
// What is left of the race: the kernel has no call that removes a name only if its directory is in some tree. When a directory is moved out
// of the tree while its names are being removed, as many of them as one batch has left may still go, all of names that stand in a directory
// that was in the tree an instant ago; and a mode or flag of it may still be changed. A Problem names it if anything of it was seen
// outside. The tree itself is known by its inode: moved elsewhere, it is still the tree. A directory that is a mount point in another
// mount namespace only can be removed, by the rules of the kernel, which detaches the mount there and leaves what was mounted alone.
// Where neither openat2 nor mount numbers exist (before 3.15, on file systems without file handles), a mount is known by its path, and a
// bind mount made while its directory is being renamed can be missed.
//
// Work is shared by directories: a worker takes the newest that it found itself, or else the oldest of another's. Directories are read
// with large buffers, and a file of which the directory tells the type is not looked at.
//
// On other systems the same calls work by os.Root, see Tree there: links and renames lead nowhere, mounts are not recognised.
package erase
