// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Secret fetches a secret when it is used, so that it can be rotated.
type Secret func(context.Context) (string, error)

// Webhook posts notices in a CloudEvents 1.0 envelope.
//
// With a Key the request is signed as the Standard Webhooks specification says, for which receivers find libraries in every language:
// the header webhook-signature is "v1," and the base64 of HMAC-SHA256 over "<webhook-id>.<webhook-timestamp>.<body>". The id is the
// notice's, equal on each try; receivers refuse old timestamps, and ids that they have seen.
type Webhook struct {
	URL     Secret        // an address may be a secret, as with chat services
	Key     Secret        // nil: requests are not signed. A key that begins with "whsec_" is base64, any other is taken as it is
	Source  string        // of the envelope: which installation speaks, as a URI reference
	Client  *http.Client  // its redirects are not followed
	Timeout time.Duration // for one try; 0 = 10 s
}

const excerptSize = 200

// Send implements Sender. A status that says that the content is at fault is a permanent refusal; any other failure is not.
func (w *Webhook) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(w.Timeout, 10*time.Second))
	defer cancel()
	request, err := w.request(ctx, n)
	if err != nil {
		return err
	}
	// A copy, because the redirect would take the signed content to somebody whom nobody named.
	client := *w.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("post to webhook: %w", withoutURL(err))
	}
	defer answer.Body.Close()
	return judge(answer)
}

func (w *Webhook) request(ctx context.Context, n Notice) (*http.Request, error) {
	address, err := w.URL(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch address of webhook: %w", err)
	}
	body, err := encode(n, w.Source)
	if err != nil {
		return nil, &Refusal{Permanent: true, Err: fmt.Errorf("encode notice: %w", err)}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address of webhook: %w", withoutURL(err))
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "pitcrew")
	return request, w.sign(ctx, request.Header, n.ID, body)
}

func (w *Webhook) sign(ctx context.Context, header http.Header, id string, body []byte) error {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", timestamp)
	if w.Key == nil {
		return nil
	}
	text, err := w.Key(ctx)
	if err != nil {
		return fmt.Errorf("fetch key of webhook: %w", err)
	}
	key := []byte(text)
	if encoded, found := strings.CutPrefix(text, "whsec_"); found {
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return errors.New("key of webhook: after whsec_ comes no base64")
		}
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}

// judge turns the receiver's answer into Send's result.
func judge(answer *http.Response) error {
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, excerptSize))
	refusal := &Refusal{Err: fmt.Errorf("webhook answers %s %q", answer.Status, text)}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		refusal.Permanent = true // it is this content that the receiver dislikes, and it is not going to change
	}
	refusal.After = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	return refusal
}

// retryAfter reads both forms of the header, seconds and a date; 0 for none, or nonsense.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// withoutURL takes the address out of what net/http says.
func withoutURL(err error) error {
	if named, ok := errors.AsType[*url.Error](err); ok {
		return named.Err
	}
	return err
}
