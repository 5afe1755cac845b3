// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// connection says how to reach the daemon. The token is never an argument: those can be read by
// everybody on the machine.
type connection struct {
	server, tokenFile, config string
	plainHTTP                 bool // let the token travel in clear
	timeout                   lasting
	field                     func(string) string // what a field of the API is called by who typed the command
}

// usualTimeout bounds the wait for an answer; commands that make the daemon ask controllers for a
// lot have more patience.
const (
	usualTimeout   = 30 * time.Second
	patientTimeout = 5 * time.Minute
	dialTimeout    = 10 * time.Second
)

const (
	envServer = "PITCREW_SERVER"
	envToken  = "PITCREW_TOKEN"
	envConfig = "PITCREW_CONFIG"
	envPlain  = "PITCREW_PLAIN_HTTP"
)

const (
	usualConfig = "/etc/pitcrew/pitcrew.yaml"
	usualData   = "/var/lib/pitcrew"
	usualListen = "127.0.0.1:8473"
	tokenName   = "admin.token" // that the daemon leaves in its data directory
)

// flags gives a command the flags of a connection.
func (o *connection) flags(cmd *cobra.Command, timeout time.Duration) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringVar(&o.server, "server", "", "address of the daemon ("+envServer+"; default: that of the configuration, or http://"+usualListen+")")
	own.StringVar(&o.tokenFile, "token-file", "", "file with the token ("+envToken+" holds the token itself; default: "+tokenName+" of the daemon's data directory, where you may read it)")
	own.StringVarP(&o.config, "config", "c", "", "configuration file of a daemon on this machine ("+envConfig+"; default: "+usualConfig+")")
	own.BoolVar(&o.plainHTTP, "plain-http", false, "send the token over plain http to another machine, where it can be read on the way ("+envPlain+"=true)")
	o.timeout.Duration = config.Duration(timeout)
	own.Var(&o.timeout, "timeout", "longest wait for an answer")
	o.field = func(field string) string { return typed(cmd, field) }
	own.VisitAll(func(f *pflag.Flag) {
		f.Annotations = map[string][]string{connectionFlag: {"true"}}
		cmd.Flags().AddFlag(f)
	})
}

// daemon is a daemon to ask, and what to say when it cannot be.
type daemon struct {
	*client.Client
	url     string
	token   string // where the token came from; "" = there is none
	noToken string // why there is none, and how to have one
	timeout time.Duration
}

// asking makes a command of a function that asks the daemon. The errors of the function are
// explained to the user.
func (c *cli) asking(o *connection, f func(ctx context.Context, d *daemon, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		d, err := c.connect(o)
		if err != nil {
			return err
		}
		return d.explain(f(cmd.Context(), d, args))
	}
}

// connect finds out where the daemon is and which token to use. It sends nothing. A daemon runs on when
// the file that it read is broken or gone, so that file is no obstacle for who knows address and token.
func (c *cli) connect(o *connection) (*daemon, error) {
	here, err := c.local(o)
	address, token := cmp.Or(o.server, c.getenv(envServer)), cmp.Or(o.tokenFile, c.getenv(envToken))
	switch {
	case err == nil || address != "" && token != "":
	case here.uncertain:
		return nil, fmt.Errorf("%w\nA daemon that runs goes on with what it read before. To ask it, say where it is and who you are: "+
			"--server or %s, and --token-file or %s", badConfig(err), envServer, envToken)
	case address == "":
		fmt.Fprintf(c.err, "warning: %[1]s is bad, see \"pitcrew config check %[1]s\"; asking %[2]s for a daemon that goes on with what it read before\n",
			here.file, here.url)
	}
	return c.reach(o, here)
}

// reach is connect for what is known of a daemon of this machine.
func (c *cli) reach(o *connection, here localDaemon) (*daemon, error) {
	d := &daemon{url: cmp.Or(o.server, c.getenv(envServer), here.url), timeout: o.timeout.Std()}
	token, err := c.findToken(o, here, d)
	if err != nil {
		return nil, err
	}
	if token != "" && d.url != here.url && inClear(d.url) && !c.plainHTTP(o) {
		return nil, usage("the token from %s could be read on the way to %s: use https or a tunnel, or say --plain-http", d.token, d.url)
	}
	transport, err := newTransport(o.timeout.Std(), here, d.url)
	if err != nil {
		return nil, err
	}
	d.Client, err = client.New(client.Options{URL: d.url, Token: token, Transport: transport, UserAgent: "pitcrew/" + version().Version, Field: o.field})
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return d, nil
}

// inClear reports whether what is sent to an address can be read on the way: it leaves this machine
// without https.
func inClear(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// plainHTTP reports whether the user accepts that.
func (c *cli) plainHTTP(o *connection) bool {
	yes, err := strconv.ParseBool(c.getenv(envPlain))
	return o.plainHTTP || err == nil && yes
}

// localDaemon is a daemon of this machine, as its configuration says.
type localDaemon struct {
	file, url, data, cert string
	uncertain             bool // url and data are the usual ones, although another file was named: that one does not tell
}

// local reads the configuration, if there is one that this user may read; of the usual one nothing is
// expected. What it says of the way to the daemon counts also where the error is about the rest of it.
func (c *cli) local(o *connection) (localDaemon, error) {
	named := cmp.Or(o.config, c.getenv(envConfig))
	here := localDaemon{file: cmp.Or(named, usualConfig), url: "http://" + usualListen, data: usualData}
	found, err := config.Load(here.file)
	if bad, ok := errors.AsType[*config.Error](err); ok {
		found = bad.Access()
	} else if err != nil && named == "" {
		return here, nil
	}
	if found == nil {
		here.uncertain = named != ""
		return here, err
	}
	here.data, here.url = found.Data, "http://"+dialable(found.API.Listen)
	if found.API.TLS != nil {
		here.cert = found.API.TLS.Cert
		here.url = cmp.Or(found.API.URL, "https://"+dialable(found.API.Listen))
	}
	return here, err
}

// dialable is an address to listen on as one to connect to.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// findToken returns the token to use; "" if there is none. The local daemon's own is for that daemon
// only: it is never sent to another address.
func (c *cli) findToken(o *connection, here localDaemon, d *daemon) (string, error) {
	if o.tokenFile != "" {
		d.token = o.tokenFile
		return readToken(o.tokenFile)
	}
	if token := c.getenv(envToken); token != "" {
		d.token = envToken
		return oneToken(token, envToken)
	}
	if d.url != here.url {
		d.noToken = "set " + envToken + ", or give --token-file FILE"
		return "", nil
	}
	path := filepath.Join(here.data, tokenName)
	token, err := readToken(path)
	switch {
	case err == nil:
		d.token = path
		return token, nil
	case errors.Is(err, os.ErrPermission):
		d.noToken = fmt.Sprintf("set %s, give --token-file FILE, or run this as the daemon's user: you may not read %s", envToken, path)
	default:
		d.noToken = fmt.Sprintf("set %s, or give --token-file FILE; the daemon leaves a first token in %s of its data directory", envToken, tokenName)
	}
	return "", nil
}

func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", exit(exitUsage, fmt.Errorf("read token: %w", err))
	}
	return oneToken(string(text), path)
}

// oneToken is the token that a text from somewhere is.
func oneToken(text, from string) (string, error) {
	token := strings.TrimSpace(text)
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return "", usage("read token: %s holds no token", from)
	}
	return token, nil
}

// newTransport bounds the waits for a connection and for the begin of an answer; what follows may
// be a stream. It trusts the certificate that the local configuration names.
func newTransport(timeout time.Duration, here localDaemon, address string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: min(timeout, dialTimeout)}).DialContext,
		TLSHandshakeTimeout:   min(timeout, dialTimeout),
		ResponseHeaderTimeout: timeout,
		ForceAttemptHTTP2:     true,
	}
	if here.cert == "" || address != here.url {
		return t, nil
	}
	pem, err := os.ReadFile(here.cert)
	if err != nil {
		return nil, fmt.Errorf("read the daemon's certificate: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(pem)
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
