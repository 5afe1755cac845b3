// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// TLSOptions are files in PEM. The zero value trusts what the system trusts.
type TLSOptions struct {
	CAFile   string // trusted besides the system's authorities; read once
	CertFile string // client certificate, with KeyFile; both are read at each handshake, so that they may be renewed
	KeyFile  string
}

func (t TLSOptions) isZero() bool { return t == TLSOptions{} }

// NewTransport returns a transport to one controller: proxies by environment, at most maxConns connections.
func NewTransport(t TLSOptions, maxConns int) (*http.Transport, error) {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyFromEnvironment
	tr.MaxConnsPerHost = maxConns
	tr.MaxIdleConnsPerHost = maxConns
	tr.MaxIdleConns = maxConns
	tr.IdleConnTimeout = time.Minute
	conf, err := t.config()
	if err != nil {
		return nil, err
	}
	tr.TLSClientConfig = conf
	return tr, nil
}

func (t TLSOptions) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a minimal system has none; ours is then the only one
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authorities: no certificate in %s", t.CAFile)
		}
		conf.RootCAs = pool
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("client certificate and key must be given together")
	}
	if t.CertFile == "" {
		return conf, nil
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		return &cert, nil
	}
	if _, err := load(nil); err != nil { // fail at start, not at the first handshake
		return nil, err
	}
	conf.GetClientCertificate = load
	return conf, nil
}
