package frontend

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/frontend/person"
)

// Config is what a frontend is made from. What is not marked as required has a zero value that works.
type Config struct {
	Name     string         // of this frontend, in logs and beside its key; required
	Client   *client.Client // of the cluster; required; it is not closed here
	Listener net.Listener   // required; it is closed by Close
	TLS      *tls.Config    // nil: plain HTTP, for loopback and behind a proxy
	Secret   Secret         // of the fleet; required

	// PublicURL is how browsers reach the site, as https://tickets.example.org; required for mailed links and sign-in.
	PublicURL string
	// TrustedProxies may say on whose behalf they ask, in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// Origins are other sites whose pages may use the API, as https://shop.example.org.
	Origins []string
	// ReturnTo are the origins to which visitors may be sent back.
	ReturnTo []string

	OIDC    *OIDCConfig
	Shops   []ShopConfig
	Captcha *CaptchaConfig
	Mail    Mailer
	// Persons keeps names and mail addresses, encrypted; nil: nobody's are kept, and no order is found by mail.
	Persons *person.Vault
	// Payments begins and looks at payments; nil: only what costs nothing can be bought.
	Payments Payments
	// Beacons are where the rounds come from that this frontend brings to draws.
	Beacons []BeaconSource
	// Codes open allocations: by event, the code, and the allocation's name.
	Codes map[string]map[string]string

	Theme  page.Theme
	Limits Limits
	Logger *slog.Logger

	// QuietMax is how long no member that is in touch with its leader may have said anything until visitors are told;
	// 1.2 s, since members say something every half second.
	QuietMax time.Duration
	// Now is the clock; nil: the system's. Tests move it.
	Now func() time.Time

	readTimeout time.Duration // tests shorten it
	beaconEvery time.Duration // and this
}

// secure reports whether browsers reach the site by TLS, so that cookies may ask for it.
func (c *Config) secure() bool {
	return c.TLS != nil || strings.HasPrefix(c.PublicURL, "https://")
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.readTimeout <= 0 {
		c.readTimeout = readTimeout
	}
	if c.beaconEvery <= 0 {
		c.beaconEvery = beaconEvery
	}
	if c.QuietMax <= 0 {
		c.QuietMax = quietMax
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c *Config) validate() error {
	refused := func(field, message string) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "frontend", Field: field, Message: message}
	}
	switch {
	case c.Name == "":
		return refused("name", "a frontend needs a name")
	case c.Client == nil:
		return refused("client", "a frontend needs a cluster")
	case c.Listener == nil:
		return refused("listener", "a frontend needs somewhere to listen")
	case c.Secret == Secret{}:
		return refused("secret-file", "a frontend needs the secret that all frontends of the cluster share")
	case c.OIDC != nil && c.PublicURL == "":
		return refused("public-url", "sign-in needs to know how browsers reach this site")
	case c.Mail != nil && c.PublicURL == "":
		return refused("public-url", "mailed links need to know how browsers reach this site")
	}
	for _, shop := range c.Shops {
		if shop.Issuer == "" || (shop.Ed25519 == nil) == (shop.HMAC == nil) || shop.HMAC != nil && len(shop.HMAC) < 32 {
			return refused("shops", "a shop needs an issuer and one key: Ed25519, or HMAC of at least 32 bytes")
		}
	}
	for i := range c.Beacons {
		if err := c.Beacons[i].validate(); err != nil {
			return refused("beacons", err.Error())
		}
	}
	for _, list := range []struct {
		field   string
		origins []string
	}{{"origins", c.Origins}, {"return-to", c.ReturnTo}} {
		for _, o := range list.origins {
			u, err := url.Parse(o)
			if err != nil || u.Scheme+"://"+u.Host != o || u.Scheme != "https" && u.Scheme != "http" {
				return refused(list.field, "\""+o+"\" is not an origin like https://shop.example.org")
			}
		}
	}
	return nil
}
