// SPDX-License-Identifier: Apache-2.0

// Package mess leaves on a machine what builds leave, and takes it away again: a rehearsal runs a candidate recipe on
// it and sees what the candidate overlooks.
//
// A maker is a piece of POSIX shell that leaves one sort of mess. Script joins makers to one program with two verbs.
// It needs sh and the core utilities (busybox will do), and /proc for whatever is no file. `make` leaves the mess and
// says, a line for each maker, "mess NAME made" or "mess NAME skipped REASON". `undo` removes what is still there and
// says "mess NAME gone" where nothing was left, "mess NAME removed WHAT" where the candidate overlooked something, or
// "mess NAME LEFT REASON"; it fails if anything is LEFT. Read reads these lines.
//
// The program takes its settings from the environment:
//
//	MESS_DIR     a directory that the candidate cleans: absolute, there already
//	MESS_TMP     another one, such as /tmp
//	MESS_LEDGER  the file in which is written down what was made: in neither of them, and of nobody else
//	MESS_USER    whom the mess belongs to; only root can say another than itself
//	MESS_LIFE    after how many seconds processes end by themselves (3600)
//	MESS_IMAGE   the image of the container; one that the engine has by default
//	MESS_FILL_LIMIT_KB, MESS_FILL_MARGIN_KB, MESS_FILL_QUOTA_KB
//	             a file system up to the limit (524288) is filled up to the margin (256); a larger one gets a file of
//	             the quota (65536) at most, and is never filled over 90 %
//
// Invariants:
//
//   - Nothing is touched that make has not made. All names hold the id, and more than a name must agree: of a file its
//     device and inode, of a process its start and the boot, of a mount its source and number, of a memory segment its
//     creator and size.
//   - Nothing is made before the ledger says so. Whatever runs longer than a moment writes itself down before it does
//     anything, and does nothing once undo has begun. So undo is complete after a kill of make at any point, and may
//     itself be killed and repeated.
//   - Gone is believed only after looking. There is no lazy unmount.
package mess
