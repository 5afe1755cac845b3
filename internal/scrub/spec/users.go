// SPDX-License-Identifier: Apache-2.0

package spec

// Users asks that no home is left whose user is gone: of which the machine's name service knows neither the owner's
// number nor a user of the home's name.
type Users struct {
	// Homes are the directories that hold homes; none means /home.
	Homes []string `json:"homes,omitempty"`
	// Older is how long ago anything in a home has to have been used for the last time for it to go.
	Older Seconds `json:"older,omitempty"`
	// Keep are patterns (as in path.Match) of names that stay.
	Keep []string `json:"keep,omitempty"`
	// Known are users that only a directory service knows. Where the name service asks one, no home goes unless it
	// answers for each of these: a service that is out of reach looks like one that does not know.
	Known []string `json:"known,omitempty"`
}
