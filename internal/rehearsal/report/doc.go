// SPDX-License-Identifier: Apache-2.0

// Package report says what a rehearsal found: to a CI job as JUnit XML and JSON, to people as a page and as text for a
// terminal. A Report is data; nothing here decides anything but how it is shown.
//
// All of what recipes and machines say is foreign text: it is escaped, made valid, and bounded where it is shown.
package report
