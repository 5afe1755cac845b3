// SPDX-License-Identifier: Apache-2.0

package web

import "time"

// What the page reads of the API's answers. The API has more.

type identity struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

type overview struct {
	At      time.Time `json:"at"`
	Event   int64     `json:"event"`
	Version struct {
		Version string `json:"version"`
	} `json:"version"`
	Alerts      []alert `json:"alerts"`
	Controllers []struct {
		Name      string    `json:"name"`
		URL       string    `json:"url"`
		Version   string    `json:"version"`
		LastSweep time.Time `json:"last_sweep"`
		DryRun    bool      `json:"dry_run"`
		Problem   string    `json:"problem"`
		Queue     int       `json:"queue"`
	} `json:"controllers"`
	Pools []struct {
		Controller string `json:"controller"`
		Name       string `json:"name"`
		Recipe     string `json:"recipe"`
	} `json:"pools"`
	Running      []attempt `json:"running"`
	Contaminated []build   `json:"contaminated"`
	Events       []event   `json:"events"`
}

type alert struct {
	Level string    `json:"level"`
	About string    `json:"about"`
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

type attempt struct {
	Controller string    `json:"controller"`
	Agent      string    `json:"agent"`
	Number     int64     `json:"number"`
	Recipe     string    `json:"recipe"`
	Need       string    `json:"need"`
	Claimed    time.Time `json:"claimed"`
	Started    time.Time `json:"started"`
	Proved     time.Time `json:"proved"`
	Asked      string    `json:"asked"`
	URL        string    `json:"url"`
}

type build struct {
	Controller string    `json:"controller"`
	Agent      string    `json:"agent"`
	URL        string    `json:"url"`
	Job        string    `json:"job"`
	Number     int64     `json:"number"`
	At         time.Time `json:"at"`
	Reason     string    `json:"reason"`
}

type culprit struct {
	Controller string    `json:"controller"`
	Job        string    `json:"job"`
	Things     int64     `json:"things"`
	Agents     int64     `json:"agents"`
	LastSeen   time.Time `json:"last_seen"`
	Kinds      []share   `json:"kinds"`
}

type share struct {
	Name   string `json:"name"`
	Things int64  `json:"things"`
}

type event struct {
	ID      int64     `json:"id"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Subject string    `json:"subject"`
	Agent   string    `json:"agent"`
	Attempt int64     `json:"attempt"`
	Reason  string    `json:"reason"`
}

type agentPage struct {
	Items []agent `json:"items"`
	Next  string  `json:"next"`
}

type agent struct {
	Controller string    `json:"controller"`
	Name       string    `json:"name"`
	Pool       string    `json:"pool"`
	Hygiene    string    `json:"hygiene"`
	Occupancy  string    `json:"occupancy"`
	Since      time.Time `json:"since"`
	Reason     string    `json:"reason"`
	Why        string    `json:"why"`
	NextLook   time.Time `json:"next_look"`
	Failures   int       `json:"failures"`
	Build      string    `json:"build"`
	Quarantine *struct {
		Reason string `json:"reason"`
	} `json:"quarantine"`
	Hold *struct {
		Reason  string    `json:"reason"`
		By      string    `json:"by"`
		Expires time.Time `json:"expires"`
	} `json:"hold"`
}
