// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind says what a caller should do about an error.
type Kind uint8

const (
	// KindRetryable may well succeed later without anybody doing anything (network, overload, restart). The default.
	KindRetryable Kind = iota
	// KindConflict means that the world is not as the caller assumed. Look again and decide anew.
	KindConflict
	// KindPermanent cannot succeed; a person or a change of program must help.
	KindPermanent
	// KindNotFound means no such object, or not visible to this user, which Jenkins does not tell apart.
	KindNotFound
	// KindUnauthorized means that the credentials are wrong or have expired.
	KindUnauthorized
	// KindForbidden means that the user lacks a permission, named in [Error.Permission] where Jenkins told it.
	KindForbidden
	// KindCancelled means that the caller's context ended.
	KindCancelled
)

var kindNames = [...]string{"retryable", "conflict", "permanent", "not found", "unauthorized", "forbidden", "cancelled"}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

var (
	// ErrNoChange is returned by a decide function of [Client.EditLabels] that wants nothing written.
	ErrNoChange = errors.New("no change wanted")
	// ErrMerged says that the queue already held an item of that job with the same parameters, and the request was merged into it.
	ErrMerged = errors.New("merged into an item that was queued before")
	// ErrBuiltIn refuses a call before any request: the built-in node is never managed.
	ErrBuiltIn = errors.New("the built-in node is never written to")
	// ErrBreakerOpen says that the controller did not answer several times in a row and is left alone for a while.
	ErrBreakerOpen = errors.New("controller does not answer, requests are held back")
	// ErrTooLarge says that an answer exceeds the limit set for it.
	ErrTooLarge = errors.New("answer too large")
)

// Error is a failed operation on a controller.
type Error struct {
	Op         string        // what was being done, such as "build" or "edit labels"
	Object     string        // to what, such as `agent "linux-7"`; may be empty
	Status     int           // HTTP status, 0 without an answer
	Kind       Kind          // what to do about it
	RetryAfter time.Duration // do not try before; 0 if unknown
	Permission string        // the permission missing, as Jenkins names it; may be empty
	Excerpt    string        // readable part of the answer; one line, no markup, no secrets; may be empty
	Err        error         // the cause; may be nil
}

// Error returns operation, object, status and reason in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" && strings.Contains(e.Op, " ") {
		b.WriteString(" of")
	}
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Permission != "" {
		b.WriteString(": needs permission " + e.Permission)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Excerpt != "" {
		fmt.Fprintf(&b, ": %q", e.Excerpt)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", try again in %s", e.RetryAfter.Round(time.Second/10))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first [*Error] in err's tree. Errors of other origin are cancelled or retryable.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return KindCancelled
	default:
		return KindRetryable
	}
}

// IsNotFound reports whether err says that the object does not exist or is hidden from this user.
func IsNotFound(err error) bool { return err != nil && KindOf(err) == KindNotFound }

// IsRetryable reports whether err may go away by itself.
func IsRetryable(err error) bool { return err != nil && KindOf(err) == KindRetryable }

// IsConflict reports whether the caller should look again and decide anew.
func IsConflict(err error) bool { return err != nil && KindOf(err) == KindConflict }

// IsForbidden reports whether a permission is missing.
func IsForbidden(err error) bool { return err != nil && KindOf(err) == KindForbidden }

// IsUnauthorized reports whether the credentials were refused.
func IsUnauthorized(err error) bool { return err != nil && KindOf(err) == KindUnauthorized }

// kindOfStatus classifies what Jenkins, or a proxy before it, answers. Each permanent status has its reason.
func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return KindUnauthorized // wrong credentials; lack of permission is 403 even for anonymous
	case http.StatusForbidden:
		return KindForbidden
	case http.StatusNotFound, http.StatusGone:
		return KindNotFound
	case http.StatusConflict:
		return KindConflict // "is not buildable": the job was disabled, or is a copy never saved
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusTooEarly:
		return KindRetryable
	}
	if status >= 300 && status < 500 {
		return KindPermanent // hudson.model.Failure is 400; a redirect is not followed
	}
	return KindRetryable
}

// unavailable reports whether err says that the controller as a whole does not answer. A 500 does not: it is the fault
// of one object, such as an agent whose labels cannot be computed.
func unavailable(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindRetryable {
		return false
	}
	switch e.Status {
	case 0, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !errors.Is(err, ErrTooLarge)
	}
	return false
}
