package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Guard keeps webhooks away from everything that is not a public https server: a client chooses the address, and this
// program calls it from inside the network. The address is checked when the connection is made, after the name was
// resolved, so a name that leads elsewhere by then is caught as well.
type Guard struct {
	// AllowLoopback also lets http and this machine through: for a laptop, never for a deployment.
	AllowLoopback bool
	// Resolver looks names up for Check. Nil: the system's.
	Resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}
	RootCAs *x509.CertPool // nil: the system's
}

const maxURLBytes = 2048

var allowedPorts = []string{"", "443", "8443"}

// Check says what is wrong with an address, in words for the client.
func (g *Guard) Check(ctx context.Context, raw string) error {
	u, err := g.parse(raw)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]")); err == nil {
		return g.reachable(addr)
	}
	resolver := g.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addresses, err := resolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(addresses) == 0 {
		return errNotPublic
	}
	for _, a := range addresses {
		if err := g.reachable(a); err != nil {
			return err
		}
	}
	return nil
}

func (g *Guard) parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURLBytes || !printable(raw):
		return nil, errors.New("it is not an address")
	case u.Scheme != "https" && (u.Scheme != "http" || !g.AllowLoopback):
		return nil, errors.New("it must begin with https://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it names no host")
	case u.User != nil:
		return nil, errors.New("it must hold no user name or password")
	case u.Fragment != "":
		return nil, errors.New("it must hold no fragment")
	case !slices.Contains(allowedPorts, u.Port()) && !g.AllowLoopback:
		return nil, errors.New("its port must be 443 or 8443")
	}
	return u, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// special are the parts of the global unicast space that are no public servers (IANA special-purpose address registries).
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

// public6 is all of IPv6 that is handed out for public use; it leaves out mapped, translated and local addresses.
var public6 = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// reachable says whether a webhook may go to an address.
func (g *Guard) reachable(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if g.AllowLoopback && a.IsLoopback() {
		return nil
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || (a.Is6() && !public6.Contains(a)) ||
		slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return errNotPublic
	}
	return nil
}

// errNotPublic is the one answer to a name that does not resolve and to one that resolves to this network: two would show a client
// which names an internal zone has.
var errNotPublic = errors.New("its host is not on the public internet")

// errBlocked stands for a connection that the guard did not allow.
var errBlocked = errors.New("address not allowed")

// control is called with the address about to be connected to.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errBlocked, address)
	}
	if err := g.reachable(ap.Addr()); err != nil {
		return errBlocked
	}
	return nil
}

// client makes calls only where the guard allows, through no proxy, and follows no redirect.
func (g *Guard) client() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: g.control}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: 5 * time.Second,
			ResponseHeaderTimeout: AnswerWithin, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{RootCAs: g.RootCAs, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// cause is an error of a call without the address, which may hold the receiver's secrets.
func cause(err error) string {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, errBlocked) {
		return errBlocked.Error()
	}
	return err.Error()
}
