// SPDX-License-Identifier: Apache-2.0

// Package recipe turns a recipe file into the program that services an agent, delivers that program as a Jenkins job,
// and reads the report it prints.
//
// A recipe is a strict YAML file in the operator's own git: the steps of the phases clean, setup and verify, each a
// script with a time limit, retries, a condition on the facts of the machine and the labels of the agent, and the exit
// codes that mean more than failure. Load and Parse report every problem of the file at once, each with its line,
// column and YAML path.
//
// Compile makes ONE self-contained POSIX shell program of it. The program is pure ASCII, needs a shell and the core
// utilities (busybox will do), and is content-addressed: the same recipe and files give the same bytes and the same
// Digest. It has two stages. The boot stage compares the agent, controller and attempt it was issued for with where it
// finds itself, and touches nothing, not even a temporary file, if they differ. Then it unpacks into a fresh private
// directory and replaces itself by the engine stage, which ends earlier runs of its agent, runs the steps and prints the
// report.
//
// A job carries the program itself, up to 1 MB. A larger one goes by file parameter: the job then holds a delivery stage,
// which proves the place first as well, reads the file that Jenkins put into the workspace once, proves what it read by
// the digest that stands in the job, and becomes it.
//
// Invariants:
//
//   - A step cannot forge the report. The report stands between sentinel lines that contain the attempt's nonce. The
//     nonce is neither in the environment of a step nor readable in /proc of the engine, nor in any process's
//     arguments; and everything a step prints is prefixed, so that none of its lines begins with a sentinel.
//   - ParseReport returns a report only if exactly one is there, whole, for that attempt and nonce. Everything else is
//     a ReportError that says what is wrong.
//   - A report says cleaned only if no step failed, and the verify phase was reached and proved something.
//   - When a step's limit has passed, its whole session is ended; nothing of it outlives the step.
//
// A step's kind (so far: a script) decides only how it is read; every kind is lowered to a command, the files it
// needs and the settings around it (type Step), which is all that the compiler and the engine know.
package recipe
