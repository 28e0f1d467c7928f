// Package loopback is what concerns a machine's own addresses: by which names it may be called, and how a program calls itself.
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Hosts says by which Host headers a program may be called. A page in a browser may call any server by its own name, after it
// had that name lead to the server's address (DNS rebinding): so a name is served when it is known, whatever the address.
type Hosts struct {
	Names     []string // without a port, besides localhost
	Addresses bool     // any IP address is fine, not only a loopback one: a page has a name, so that none can be behind it
}

// Serve says whether a request with this Host header is meant for this program.
func (h Hosts) Serve(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(hostname(host), "."))
	if name == "localhost" || slices.ContainsFunc(h.Names, func(known string) bool { return strings.EqualFold(known, name) }) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (h.Addresses || ip.Unmap().IsLoopback())
}

// hostname is a Host header without its port, and without the brackets of an IPv6 address.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// Listening is whom a program serves that listens on an address, and that further names lead to. On all interfaces it is the
// machine itself by its name and every address; on a named one that name; on loopback loopback only.
func Listening(address string, names ...string) Hosts {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	h := Hosts{Names: slices.Clone(names)}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip.Unmap().IsUnspecified():
		h.Addresses = true
		if own, err := os.Hostname(); err == nil {
			h.Names = append(h.Names, own, own+".local")
		}
	case err == nil && !ip.Unmap().IsLoopback():
		h.Addresses = true
	default:
		h.Names = append(h.Names, host)
	}
	return h
}

// Own is where a program reaches itself that listens on an address: by loopback when it listens everywhere.
func Own(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Transport carries a program's calls to itself, by no proxy whatever the environment says.
func Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return t
}
