// SPDX-License-Identifier: Apache-2.0

// Package web serves the live page of the fleet, for a browser.
//
// The page is a client of the API and shows nothing that the API does not: it asks the API's
// handler within the process, with the rights of whoever asks for the page. It is whole without
// scripts; a small script puts newer renderings in the place of older ones as events arrive. What
// is rendered is finished data: templates only place it.
//
// A face is what the page says an agent is, in one word: its hygiene and its occupancy told
// together, so that every agent is counted once.
package web
