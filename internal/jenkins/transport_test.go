// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates and writes them to files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.issue(template, "ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.pem and name.key.
func (a *authority) issue(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func TestOwnAuthorityAndClientCertificateAreUsed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "ci"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, "server")
	clientUse := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "pitcrew"}, ExtKeyUsage: clientUse}, "client")
	pair, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	srv := httptest.NewUnstartedServer(answering(200, `{"items":[]}`))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are wanted
	srv.StartTLS()
	defer srv.Close()

	for _, tt := range []struct {
		name string
		tls  TLSOptions
		ok   bool
	}{
		{"both", TLSOptions{CAFile: a.file("ca.pem"), CertFile: a.file("client.pem"), KeyFile: a.file("client.key")}, true},
		{"no client certificate", TLSOptions{CAFile: a.file("ca.pem")}, false},
		{"unknown authority", TLSOptions{CertFile: a.file("client.pem"), KeyFile: a.file("client.key")}, false},
	} {
		c, err := New(Options{URL: srv.URL, TLS: tt.tls})
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if _, err := c.Queue(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		c.Close()
	}

	// A renewed certificate is taken up by the next handshake, and a broken one is said.
	c, err := New(Options{URL: srv.URL, TLS: TLSOptions{CAFile: a.file("ca.pem"), CertFile: a.file("client.pem"), KeyFile: a.file("client.key")}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.WriteFile(a.file("client.key"), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Queue(t.Context()); err == nil {
		t.Error("a broken certificate went unnoticed")
	}
	a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "renewed"}, ExtKeyUsage: clientUse}, "client")
	if _, err := c.Queue(t.Context()); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
}

const behindProxy = "JENKINS_TEST_BEHIND_PROXY"

// TestQueueBehindAProxy is run by the test below: a process reads the variables of proxies once.
func TestQueueBehindAProxy(t *testing.T) { //nolint:paralleltest // alone in its process
	if os.Getenv(behindProxy) == "" {
		t.Skip("run by TestProxiesAreThoseOfTheEnvironment")
	}
	c, err := New(Options{URL: "http://ci.invalid/jenkins"}) // a name that only the proxy knows
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Queue(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProxiesAreThoseOfTheEnvironment(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		answering(200, `{"items":[]}`)(w, r)
	}))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestQueueBehindAProxy$")
	cmd.Env = append(os.Environ(), behindProxy+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case uri := <-asked:
		if !strings.HasPrefix(uri, "http://ci.invalid/jenkins/queue/api/json") {
			t.Errorf("the proxy was asked for %s", uri)
		}
	default:
		t.Error("the proxy was not asked")
	}
}
