// SPDX-License-Identifier: Apache-2.0

// Package jenkins speaks the REST API of one Jenkins controller.
//
// Words: a node is the configuration of an agent, a computer its run-time face; both words stay inside this package.
// A job's full name has slashes between its folders. The queue holds items; an item that became a build has left.
//
// What a caller may rely on:
//
//   - Every request ends: it has a deadline of its own besides the caller's context, and its answer a size limit.
//   - An error of a request is an [*Error] with operation, object, status and [Kind]. It never holds a secret.
//   - Nothing is retried here, because the engine decides when to look again. The exceptions are stated where they are:
//     one new crumb, one second look at a 404 of a node (hudson.model.Nodes#replaceNode takes a name away for an
//     instant), and the rounds of [Client.EditLabels] and [Client.LiftOffline].
//   - Redirects are never followed. For a POST, 302 is Jenkins' usual way to say that it was done.
//   - Absence of an agent from [Fleet] proves nothing: Jenkins drops an element whose export failed
//     (org.kohsuke.stapler.export.Property#writeBuffered). Only [Client.Agent] with [IsNotFound] does.
//   - Of an agent's configuration only the text of one element is changed, every other byte is sent back as it came.
//   - The built-in node is never written to, and scripts are never sent: no call needs Overall/Administer.
//
// A changed [Fleet.Session] means that the controller was started anew; whatever was assumed about it is void.
package jenkins
