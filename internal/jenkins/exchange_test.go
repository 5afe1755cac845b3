// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryStatusHasItsKind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		kind   Kind
		inText string
	}{
		{"wrong credentials", answering(401, "<html>Unauthorized</html>"), KindUnauthorized, "401 Unauthorized"},
		{"a permission is missing", answering(403, "<html><body>Access Denied</body></html>", "X-Required-Permission", "hudson.model.Computer.Configure"), KindForbidden, "needs permission hudson.model.Computer.Configure"},
		{"unknown or hidden", answering(404, "<html><head><title>no</title></head><p>Not Found</p></html>"), KindNotFound, "Not Found"},
		{"a user error with X-Error", answering(400, "<html>big page</html>", "X-Error", "A job already exists"), KindPermanent, "A job already exists"},
		{"a user error without X-Error", answering(400, "<html><body><h1>Error</h1>name ‘x’ already exists</body></html>"), KindPermanent, "name ‘x’ already exists"},
		{"not buildable", answering(409, ""), KindConflict, "409 Conflict"},
		{"only by POST", answering(405, ""), KindPermanent, "405"},
		{"oops", answering(500, "<h1>Oops!</h1><p>A problem occurred. Logging ID=8f</p>"), KindRetryable, "Oops! A problem occurred. Logging ID=8f"},
		{"starting", answering(503, "Please wait while Jenkins is getting ready", "Retry-After", "7"), KindRetryable, "try again in 7s"},
		{"too many requests", answering(429, ""), KindRetryable, "429"},
		{"moved", answering(302, "", "Location", "https://other.example/jenkins/api/json?ticket=s3cr3t"), KindPermanent, "redirected to https://other.example/jenkins/api/json, which is not followed"},
		{"single sign-on", answering(302, "", "Location", "/jenkins/securityRealm/commenceLogin?from=x"), KindUnauthorized, "redirected to a login page"},
		{"a login page instead of data", answering(200, "<html>Sign in</html>", "Content-Type", "text/html;charset=utf-8"), KindPermanent, "a page instead of data"},
		{"nothing", answering(200, ""), KindRetryable, "unexpected EOF"},
		{"cut off", answering(200, `{"quietingDown":tr`), KindRetryable, "unexpected EOF"},
		{"not json", answering(200, "surprise"), KindRetryable, "invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := clientOf(t, tt.h).SystemInfo(t.Context())
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Kind != tt.kind || !strings.Contains(err.Error(), tt.inText) {
				t.Errorf("got kind %s and %q, want kind %s and %q", e.Kind, err, tt.kind, tt.inText)
			}
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "<") {
				t.Errorf("error holds a ticket or markup: %q", err)
			}
		})
	}
}

func TestAPostSucceedsWithARedirectUnlessItLeadsToALogin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, location string
		status         int
		want           Kind
		ok             bool
	}{
		{"back to the agent", ".", 302, 0, true},
		{"to the log", "http://internal:8080/computer/x/log", 302, 0, true},
		{"empty answer", "", 200, 0, true},
		{"no content", "", 204, 0, true},
		{"a job called login", "/jenkins/job/login/", 302, 0, true},
		{"an agent called login", "/jenkins/computer/login/", 302, 0, true},
		{"login of the controller", "http://ci.example/jenkins/login?from=%2F", 302, KindUnauthorized, false},
		{"login of a proxy", "https://sso.example/login", 302, KindUnauthorized, false},
		{"another realm", "/jenkins/securityRealm/commenceLogin", 302, KindUnauthorized, false},
		{"moved for good", "https://ci.example/jenkins/x", 301, KindPermanent, false},
		{"moved, please repeat", "https://ci.example/jenkins/x", 307, KindPermanent, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var j journal
			c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
				j.add(r)
				answering(tt.status, "", "Location", tt.location)(w, r)
			})
			err := c.Disconnect(t.Context(), "a", "bye")
			if (err == nil) != tt.ok || err != nil && KindOf(err) != tt.want {
				t.Errorf("got %v, want ok=%t kind=%s", err, tt.ok, tt.want)
			}
			if got := j.String(); got != "POST /jenkins/computer/a/doDisconnect" {
				t.Errorf("requests:\n%s", got)
			}
		})
	}
}

func TestRequestsCarryWhatJenkinsNeeds(t *testing.T) {
	t.Parallel()
	var got http.Header
	var path string
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		got, path = r.Header.Clone(), r.URL.EscapedPath()
		w.WriteHeader(http.StatusFound)
	})
	if err := c.Disconnect(t.Context(), "mac (old) +1 ü", "over"); err != nil {
		t.Fatal(err)
	}
	if want := "/jenkins/computer/mac%20%28old%29%20+1%20%C3%BC/doDisconnect"; path != want {
		t.Errorf("path %s, want %s", path, want)
	}
	for key, want := range map[string]string{
		"Accept-Language": "en", "Content-Type": formType, "Authorization": "Basic cGl0OjExY2FuYXJ5MHRva2VuMHRoYXQwbXVzdDBzdGF5MHNlY3JldA==",
		"Cookie": "", "Jenkins-Crumb": "",
	} {
		if got.Get(key) != want {
			t.Errorf("%s is %q, want %q", key, got.Get(key), want)
		}
	}
}

func TestARequestEndsAtItsDeadlineWithoutTheCallerHavingOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := clientWith(t, Options{Transport: hang, RequestTimeout: 10 * time.Second}, nil)
		start := time.Now()
		_, err := c.Fleet(context.Background())
		if !IsRetryable(err) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func TestABodyThatNeverEndsEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := roundTrip(func(r *http.Request) (*http.Response, error) {
			body := io.MultiReader(strings.NewReader(`{"computer":[`), blocked(r.Context().Done()))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
		})
		c := clientWith(t, Options{Transport: slow, RequestTimeout: 10 * time.Second}, nil)
		_, err := c.Fleet(t.Context())
		if !IsRetryable(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheCallersCancellationIsToldFromATimeout(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("daemon stops")
	hang := roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel(stop)
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	_, err := clientWith(t, Options{Transport: hang}, nil).Queue(ctx)
	if KindOf(err) != KindCancelled || !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerBeyondItsLimitIsAnErrorAndNotReadOn(t *testing.T) {
	t.Parallel()
	var read counted
	endless := roundTrip(func(*http.Request) (*http.Response, error) {
		read.r = strings.NewReader(strings.Repeat(" ", 3*maxFeed))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(&read)}, nil
	})
	_, err := clientWith(t, Options{Transport: endless}, nil).AgentBuilds(t.Context(), "a", time.Time{})
	if !errors.Is(err, ErrTooLarge) || KindOf(err) != KindPermanent {
		t.Errorf("got %v", err)
	}
	if read.n > maxFeed+maxDrain+1 {
		t.Errorf("%d bytes were read", read.n)
	}
}

func TestABoundedReaderAcceptsABodyOfExactlyItsLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size int
		err  error
	}{{9, nil}, {10, nil}, {11, ErrTooLarge}} {
		got, err := io.ReadAll(&bounded{r: strings.NewReader(strings.Repeat("x", tt.size)), left: 10})
		if !errors.Is(err, tt.err) || len(got) != min(tt.size, 10) {
			t.Errorf("%d bytes: read %d, %v", tt.size, len(got), err)
		}
	}
}

func TestEveryExchangeIsObservedOnce(t *testing.T) {
	t.Parallel()
	var calls []Call
	o := Options{User: "pit", Token: fixed(canary), Observe: func(c Call) { c.Duration = 0; calls = append(calls, c) }}
	c := clientWith(t, o, answering(403, "no"))
	_ = c.SetBuildDescription(t.Context(), "j", 3, "x y")
	want := []Call{{Op: "describe", Method: "POST", Status: 403, BytesOut: int64(len("description=x+y")), BytesIn: 2}}
	if len(calls) != 1 || !IsForbidden(calls[0].Err) {
		t.Fatalf("calls: %+v", calls)
	}
	calls[0].Err = nil
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Error(diff)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "-5": 0, "soon": 0, "999999999": 24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}

func TestRequestsKeepToTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clientWith(t, Options{RequestsPerSecond: 2, Burst: 3}, answering(200, `{"items":[]}`))
		start := time.Now()
		for range 7 {
			if _, err := c.Queue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start).Round(time.Millisecond); d != 2*time.Second {
			t.Errorf("7 requests took %s, want 3 at once and 4 in 2s", d)
		}
	})
}

func TestOptionsThatCannotWorkAreRefusedWithoutRepeatingSecrets(t *testing.T) {
	t.Parallel()
	tok := fixed(canary)
	for name, o := range map[string]Options{
		"no address":                      {},
		"no scheme":                       {URL: "ci.example"},
		"ftp":                             {URL: "ftp://ci.example"},
		"credentials in the address":      {URL: "https://pit:" + canary + "@ci.example"},
		"unreadable address":              {URL: "https://pit:" + canary + "@ci example:x/%zz"},
		"query":                           {URL: "https://ci.example/?token=" + canary},
		"token and password":              {URL: "https://ci.example", User: "u", Token: tok, Password: tok},
		"token without user":              {URL: "https://ci.example", Token: tok},
		"user with colon":                 {URL: "https://ci.example", User: "a:b", Token: tok},
		"tls options for given transport": {URL: "https://ci.example", Transport: inMemory{}, TLS: TLSOptions{CAFile: "x"}},
		"no such authorities":             {URL: "https://ci.example", TLS: TLSOptions{CAFile: "/does/not/exist"}},
		"certificate without key":         {URL: "https://ci.example", TLS: TLSOptions{CertFile: "x"}},
	} {
		c, err := New(o)
		if err == nil || c != nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// blocked is a body that gives nothing until the request ends, as one on a socket may.
type blocked <-chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	return 0, context.Canceled
}

func TestConnectionsAreBoundedAndUsedAgain(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/job/j/1/api/json" {
			answering(404, strings.Repeat("page ", 5000))(w, r) // of which an excerpt is enough
			return
		}
		answering(200, `{"items":[]}`+strings.Repeat(" ", 50000))(w, r) // which ends before its end
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := New(Options{URL: srv.URL, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := c.BuildInfo(t.Context(), "j", 1); !IsNotFound(err) {
				t.Error(err)
			}
			if _, err := c.Queue(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
