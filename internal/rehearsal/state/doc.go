// SPDX-License-Identifier: Apache-2.0

// Package state sees in what state a machine is, and how two states differ: what a candidate recipe makes of a machine
// is compared with what the production recipe makes of the same one.
//
// Script is a POSIX shell program that changes nothing and needs no root. It prints, between sentinel lines with the nonce of
// STATE_NONCE, lines "SECTION<tab>TEXT" in which TEXT is what the tool or the kernel says. What it could not read it
// names in lines of the section "unread", so that nothing unseen is taken for nothing there. STATE_PATHS holds the owned
// paths, one a line. Parse reads the log, strictly; Compare tells the differences, for people.
//
// Times are no part of a state, process numbers neither: they differ between any two runs. Of files of up to 64 KiB the
// content counts, as a digest; of larger ones the size. Of users and groups the passwords are not read.
package state
