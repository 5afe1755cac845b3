// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// neighbours are servers that a machine reaches by the names mirror.example and example.com.
type neighbours struct {
	web, secure, proxy *httptest.Server
	lock               sync.Mutex
	asked              []string // by method, host and path; those of the proxy begin with "proxy"
}

// portOf is the port of a URL.
func portOf(url string) string { return url[strings.LastIndexByte(url, ':'):] }

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	n := &neighbours{}
	note := func(words ...string) {
		n.lock.Lock()
		defer n.lock.Unlock()
		n.asked = append(n.asked, strings.Join(words, " "))
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r.Method, r.Host, r.URL.String())
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
		case "/secret":
			w.WriteHeader(http.StatusUnauthorized)
		case "/":
			_, _ = io.WriteString(w, "text")
		default:
			http.NotFound(w, r)
		}
	})
	n.web = httptest.NewServer(answer)
	n.secure = httptest.NewTLSServer(answer)
	n.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("proxy", r.Method, r.Host)
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
		from.Close()
	}))
	for _, s := range []*httptest.Server{n.web, n.secure, n.proxy} {
		t.Cleanup(s.Close)
	}
	return n
}

// took returns what has been asked since it was called last.
func (n *neighbours) took() string {
	n.lock.Lock()
	defer n.lock.Unlock()
	all := strings.Join(n.asked, "; ")
	n.asked = nil
	return all
}

// knownHere gives this namespace names of its own, and has it trust a server.
func knownHere(t *testing.T, trusted *httptest.Server) {
	t.Helper()
	ownEtc(t)
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate().Raw})
	err := errors.Join(
		os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost mirror.example example.com other.test\n"), 0o644),
		os.WriteFile("/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files\n"), 0o644),
		os.MkdirAll(filepath.Dir(bundle), 0o755), os.Remove(bundle), os.WriteFile(bundle, certificate, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	home := open(t)
	for file, text := range map[string]string{".curlrc": "proxy = http://127.0.0.1:1\n", ".wgetrc": "no-such-setting = 1\n"} {
		if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
	}
	t.Cleanup(func() {
		if left := listing(t, home); len(left) != 2 {
			t.Errorf("in the home are %q; want what was there", left)
		}
	})
}

// toolbox is a directory with some of the machine's programs, each as NAME or NAME=PATH.
func toolbox(t *testing.T, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range programs {
		name, at, given := strings.Cut(program, "=")
		if !given {
			var err error
			if at, err = exec.LookPath(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSurroundingsAreReached(t *testing.T) {
	needs(t, "curl", "wget", "busybox", "getent")
	if !ownNamespaces(t) {
		return
	}
	n := newNeighbours(t)
	knownHere(t, n.secure)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody takes from its queue
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, closed.Close()); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	flaky := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if calls.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer flaky.Close()
	web, secure := "http://mirror.example"+portOf(n.web.URL), "https://example.com"+portOf(n.secure.URL)
	bare := toolbox(t, "getent")
	for name, c := range map[string]struct {
		goal  spec.Reach
		tools []string
		env   map[string]string
		says  string // "" if all is reached
		asked string
	}{
		"names":                             {goal: spec.Reach{Names: []string{"mirror.example", "localhost", "127.0.0.1"}}},
		"a name that nobody knows":          {goal: spec.Reach{Names: []string{"mirror.example", "nosuch.example"}, Tries: 1}, says: "nosuch.example: the name service of the machine knows no such name"},
		"a port":                            {goal: servers("tcp://mirror.example" + portOf(n.web.URL))},
		"a port of IPv6 style":              {goal: servers("tcp://[::ffff:127.0.0.1]" + portOf(n.web.URL))},
		"a port where nobody is":            {goal: spec.Reach{Servers: []spec.Endpoint{{URL: "tcp://" + closed.Addr().String()}}, Tries: 2}, says: "connection refused (tried 2 times)"},
		"a server":                          {goal: servers(web, web+"/?a=b"), asked: "HEAD"},
		"one that moved":                    {goal: servers(web + "/moved"), asked: "HEAD mirror.example" + portOf(n.web.URL) + " /moved"},
		"a path that is not there":          {goal: servers(web + "/none"), says: "it answers with status 404"},
		"a secret":                          {goal: spec.Reach{Servers: []spec.Endpoint{{URL: web + "/secret", Status: []int{200, 401}}}}},
		"not that status":                   {goal: spec.Reach{Servers: []spec.Endpoint{{URL: web, Status: []int{401}}}, Tries: 1}, says: "it answers with status 200; want [401]"},
		"one that says nothing":             {goal: spec.Reach{Servers: []spec.Endpoint{{URL: "http://" + silent.Addr().String()}}, Wait: 1, Tries: 1}, says: "no answer within 1s"},
		"one that answers when asked again": {goal: spec.Reach{Servers: []spec.Endpoint{{URL: flaky.URL}}, Tries: 2}},
		"no HTTP":                           {goal: spec.Reach{Servers: []spec.Endpoint{{URL: "http://" + strings.TrimPrefix(n.secure.URL, "https://")}}, Tries: 1}, says: "it answers with status 400"},
		"TLS, by curl":                      {goal: servers(secure, secure+"/moved"), tools: []string{toolbox(t, "getent", "curl")}, asked: "HEAD example.com"},
		"TLS, by wget":                      {goal: servers(secure, secure+"/moved"), tools: []string{toolbox(t, "getent", "wget")}, asked: "HEAD example.com"},
		"a status by wget":                  {goal: spec.Reach{Servers: []spec.Endpoint{{URL: secure + "/secret", Status: []int{401}}}, Tries: 1}, tools: []string{toolbox(t, "getent", "wget")}},
		"a status by curl":                  {goal: servers(secure + "/none"), tools: []string{toolbox(t, "getent", "curl")}, says: "it answers with status 404"},
		"a name that the certificate has not, by curl": {goal: servers(strings.Replace(secure, "example.com", "other.test", 1)), tools: []string{toolbox(t, "getent", "curl")}, says: "curl: exit code 60"},
		"a name that the certificate has not, by wget": {goal: servers(strings.Replace(secure, "example.com", "other.test", 1)), tools: []string{toolbox(t, "getent", "wget")}, says: "wget: exit code 5"},
		"TLS, by neither":             {goal: servers(secure), tools: []string{bare}, says: "https needs curl or GNU wget, and neither is here"},
		"TLS, by busybox":             {goal: servers(secure), tools: []string{toolbox(t, "getent", "wget=/bin/busybox")}, says: "https needs curl or GNU wget, and neither is here"},
		"no name service":             {goal: servers(web), tools: []string{t.TempDir()}, says: "names cannot be looked up: there is no getent here"},
		"through a proxy":             {goal: servers("http://elsewhere.example/"), env: map[string]string{"http_proxy": n.proxy.URL}, asked: "proxy HEAD elsewhere.example"},
		"through a proxy, TLS":        {goal: servers(secure), env: map[string]string{"https_proxy": n.proxy.URL}, asked: "proxy CONNECT example.com"},
		"past a proxy":                {goal: spec.Reach{Servers: servers(web, secure).Servers, Direct: true}, env: map[string]string{"http_proxy": n.proxy.URL, "https_proxy": n.proxy.URL}, asked: "HEAD"},
		"not for that name":           {goal: servers(web), env: map[string]string{"http_proxy": n.proxy.URL, "no_proxy": "mirror.example"}, asked: "HEAD"},
		"through a proxy, by neither": {goal: servers(web), tools: []string{bare}, env: map[string]string{"http_proxy": n.proxy.URL}, says: "a proxy (http_proxy is set) needs curl or GNU wget"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			n.took()
			here := scrub.Here{}
			if c.tools != nil {
				here.Tools = c.tools
			}
			r := goalReached(t, spec.Goal{Reach: &c.goal}, here, scrub.Judge)
			if (r.State == spec.Unchanged) != (c.says == "") || !strings.Contains(said(r), c.says) {
				t.Errorf("%+v; want %q", r, c.says)
			}
			if asked := n.took(); !strings.HasPrefix(asked, c.asked) || strings.Contains(asked, "proxy") != strings.HasPrefix(c.asked, "proxy") {
				t.Errorf("it asked %q; want %q", asked, c.asked)
			}
		})
	}
}

// servers asks each once.
func servers(urls ...string) spec.Reach {
	r := spec.Reach{Tries: 1}
	for _, url := range urls {
		r.Servers = append(r.Servers, spec.Endpoint{URL: url})
	}
	return r
}

func TestAnAddressThatIsSilentHidesNoOther(t *testing.T) {
	t.Parallel()
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	deaf(t, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 2}, Port: there.Addr().(*net.TCPAddr).Port})
	tools := t.TempDir()
	script(t, tools, "getent", `echo "127.0.0.2 STREAM both.example"; echo 127.0.0.2 DGRAM; echo "127.0.0.1 STREAM"`)
	goal := spec.Goal{Reach: &spec.Reach{Servers: []spec.Endpoint{{URL: "tcp://both.example" + portOf(there.Addr().String())}}, Wait: 6}}
	if r := goalReached(t, goal, scrub.Here{Tools: []string{tools}}, scrub.Judge); r.State != spec.Unchanged {
		t.Errorf("%+v", r)
	}
}

// deaf is an address from which nothing comes back: the queue of those who want to connect is full.
func deaf(t *testing.T, at unix.Sockaddr) {
	t.Helper()
	open := func(flags int) int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	server := open(0)
	if err := errors.Join(unix.Bind(server, at), unix.Listen(server, 0)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := unix.Connect(open(unix.SOCK_NONBLOCK), at); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			t.Fatal(err)
		}
	}
}
