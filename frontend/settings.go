package frontend

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/frontend/yamlfile"
	"github.com/holdfast-db/holdfast/payment"
)

// settings are what a frontend is told in a file: all that has names, keys and numbers of others. Secrets stand in files of
// their own, which it names.
type settings struct {
	OIDC *struct {
		Issuer     string `yaml:"issuer"`
		ClientID   string `yaml:"client_id"`
		SecretFile string `yaml:"client_secret_file"`
	} `yaml:"oidc"`
	Shops []struct {
		Issuer      string `yaml:"issuer"`
		Ed25519File string `yaml:"ed25519_file"` // PEM, a public key
		HMACFile    string `yaml:"hmac_file"`
	} `yaml:"shops"`
	Captcha *struct {
		VerifyURL  string `yaml:"verify_url"`
		SecretFile string `yaml:"secret_file"`
		SiteKey    string `yaml:"site_key"`
		Script     string `yaml:"script"`
		Class      string `yaml:"class"`
	} `yaml:"captcha"`
	Beacons []struct {
		Key  string `yaml:"key"` // as event files have it
		URL  string `yaml:"url"`
		File string `yaml:"file"`
	} `yaml:"beacons"`
	Codes map[string]map[string]string `yaml:"codes"` // by event: code to allocation
	Theme struct {
		Name    string            `yaml:"name"`
		LogoURL string            `yaml:"logo_url"`
		Fonts   string            `yaml:"fonts"`
		Footer  string            `yaml:"footer"`
		Light   map[string]string `yaml:"light"`
		Dark    map[string]string `yaml:"dark"`
	} `yaml:"theme"`
	Limits struct {
		Conns                 int     `yaml:"connections"`
		InFlight              int     `yaml:"in_flight"`
		Streams               int     `yaml:"streams"`
		JoinsPerSecond        int     `yaml:"joins_per_second"`
		AddressPerSecond      float64 `yaml:"address_per_second"`
		AddressBurst          int     `yaml:"address_burst"`
		AddressJoinsPerMinute float64 `yaml:"address_joins_per_minute"`
		AddressPaysPerHour    float64 `yaml:"address_pays_per_hour"`
		SessionPerSecond      float64 `yaml:"session_per_second"`
		SessionBurst          int     `yaml:"session_burst"`
		Frontends             int     `yaml:"frontends"`
	} `yaml:"limits"`
}

// settingsBytesMax bounds the file.
const settingsBytesMax = 1 << 20

// ReadSettings reads a file of settings into the configuration. Unknown fields are refused by name.
func (c *Config) ReadSettings(path string) error {
	fail := func(err error) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "read settings", Field: "settings", Message: path, Err: err}
	}
	var s settings
	if err := yamlfile.Read(path, settingsBytesMax, &s); err != nil {
		return fail(err)
	}
	if err := c.takeKeys(&s); err != nil {
		return fail(err)
	}
	for i, b := range s.Beacons {
		key, err := hex.DecodeString(b.Key)
		source := BeaconSource{Key: key, URL: b.URL, File: b.File}
		if err = errors.Join(err, source.validate()); err != nil {
			return fail(fmt.Errorf("beacons[%d]: %w", i, err))
		}
		c.Beacons = append(c.Beacons, source)
	}
	c.Codes = s.Codes
	c.Theme = page.Theme{Name: s.Theme.Name, LogoURL: s.Theme.LogoURL, Fonts: s.Theme.Fonts, Footer: s.Theme.Footer}
	for _, p := range []struct {
		from map[string]string
		to   *page.Palette
	}{{s.Theme.Light, &c.Theme.Light}, {s.Theme.Dark, &c.Theme.Dark}} {
		if err := paint(p.to, p.from); err != nil {
			return fail(err)
		}
	}
	l := s.Limits
	c.Limits = Limits{ConnsMax: l.Conns, InFlightMax: l.InFlight, StreamsMax: l.Streams, JoinsPerSecond: l.JoinsPerSecond, AddressPerSecond: l.AddressPerSecond,
		AddressBurst: l.AddressBurst, AddressJoinsPerMinute: l.AddressJoinsPerMinute, AddressPaysPerHour: l.AddressPaysPerHour,
		SessionPerSecond: l.SessionPerSecond, SessionBurst: l.SessionBurst, Frontends: l.Frontends}
	return nil
}

// takeKeys reads what has a secret.
func (c *Config) takeKeys(s *settings) error {
	if s.OIDC != nil {
		secret, err := payment.ReadSecret(s.OIDC.SecretFile, "HOLDFAST_OIDC_SECRET")
		if err != nil {
			return fmt.Errorf("oidc: %w", err)
		}
		c.OIDC = &OIDCConfig{Issuer: s.OIDC.Issuer, ClientID: s.OIDC.ClientID, ClientSecret: secret.Reveal()}
	}
	if s.Captcha != nil {
		secret, err := payment.ReadSecret(s.Captcha.SecretFile, "HOLDFAST_CAPTCHA_SECRET")
		if err != nil {
			return fmt.Errorf("captcha: %w", err)
		}
		c.Captcha = &CaptchaConfig{VerifyURL: s.Captcha.VerifyURL, Secret: secret.Reveal(), SiteKey: s.Captcha.SiteKey, Script: s.Captcha.Script, Class: s.Captcha.Class}
	}
	for i, shop := range s.Shops {
		known := ShopConfig{Issuer: shop.Issuer}
		var err error
		switch {
		case shop.Ed25519File != "" && shop.HMACFile == "":
			known.Ed25519, err = readPublicKey(shop.Ed25519File)
		case shop.HMACFile != "" && shop.Ed25519File == "":
			var secret payment.Secret
			secret, err = payment.ReadSecret(shop.HMACFile, "")
			known.HMAC = []byte(secret.Reveal())
		default:
			err = errors.New("one of ed25519_file and hmac_file")
		}
		if err != nil {
			return fmt.Errorf("shops[%d]: %w", i, err)
		}
		c.Shops = append(c.Shops, known)
	}
	return nil
}

func readPublicKey(path string) (ed25519.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s: not a PEM file", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key", path)
	}
	return public, nil
}

// paint fills a palette in by the names of its colours.
func paint(p *page.Palette, colours map[string]string) error {
	to := map[string]*string{"page": &p.Page, "surface": &p.Surface, "text": &p.Text, "muted": &p.Muted, "border": &p.Border, "accent": &p.Accent,
		"on_accent": &p.OnText, "good": &p.Good, "warn": &p.Warn, "bad": &p.Bad}
	for name, colour := range colours {
		if to[name] == nil {
			return fmt.Errorf("theme: there is no colour %q", strings.TrimSpace(name))
		}
		*to[name] = colour
	}
	return nil
}
