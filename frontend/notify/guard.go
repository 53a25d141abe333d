package notify

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
)

// dialGuard looks at the address that is about to be dialled.
type dialGuard = func(ctx context.Context, network, address string, c syscall.RawConn) error

// errPrivate: an organizer's address must not lead into the network that the frontend stands in.
var errPrivate = errors.New("not a public address")

// publicOnly refuses addresses that are not in the public internet.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !public(at.Addr()) {
		return errPrivate
	}
	return nil
}

// inside are networks that netip does not call private and that lead inside all the same, or nowhere.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // a provider's own, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 in IPv6, NAT64: whichever address is inside it
	netip.MustParsePrefix("64:ff9b:1::/48"),  // the same, local
	netip.MustParsePrefix("100::/64"),        // discard
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo with an IPv4 address inside it
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, with an IPv4 address inside it
	netip.MustParsePrefix("fec0::/10"),       // site-local, as it was
	netip.MustParsePrefix("::/96"),           // IPv4-compatible, as it was
}

func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, net := range inside {
		if net.Contains(a) {
			return false
		}
	}
	return true
}
