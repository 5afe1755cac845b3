// SPDX-License-Identifier: Apache-2.0

package loan

// Request asks for agents. It becomes one [Loan] per agent.
type Request struct {
	Borrower string
	By       string // who asks
	Count    int    // 1 at least
	Want     Want
	To       Target
	Lease    Lease  // what is asked for; the pool bounds it
	Node     string // that the borrower has made itself
}

// A RequestError is a request that could not be granted whatever the agents do.
type RequestError struct {
	Field   string // of the request
	Problem string
}

func (e *RequestError) Error() string { return e.Field + ": " + e.Problem }
