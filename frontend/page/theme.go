package page

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// Theme is the organizer's look. Every empty field means ours. The two palettes follow the visitor's preference for a
// light or a dark screen.
type Theme struct {
	// Name is the shop's name in the head of every page.
	Name string
	// LogoURL is an image that stands before the name: an https address, or a path on this server.
	LogoURL string
	// Fonts is a CSS font stack of names that the visitor's device has; nothing is loaded.
	Fonts string
	Light Palette
	Dark  Palette
	// Footer is a line at the end of every page, as the organizer's name and address; Links stand beside it.
	Footer string
	Links  []Link
}

// Palette holds colours as #rrggbb.
type Palette struct {
	Page    string // behind everything
	Surface string // of cards
	Text    string
	Muted   string // smaller remarks
	Border  string // of what can be pressed or filled in
	Accent  string // of what to do next, and links
	OnText  string // on Accent
	Good    string
	Warn    string
	Bad     string
}

// DefaultTheme is what stands for the empty fields of a theme.
func DefaultTheme() Theme {
	return Theme{
		Name:  "holdfast",
		Fonts: `system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif`,
		Light: Palette{
			Page: "#f6f5f1", Surface: "#ffffff", Text: "#1a1c22", Muted: "#595d68", Border: "#82868f",
			Accent: "#2f4bc0", OnText: "#ffffff", Good: "#17693d", Warn: "#865000", Bad: "#ab2430",
		},
		Dark: Palette{
			Page: "#111318", Surface: "#1b1e25", Text: "#eceef2", Muted: "#a9aeba", Border: "#767c8a",
			Accent: "#a3b6ff", OnText: "#10162e", Good: "#7fd3a0", Warn: "#f0bb6a", Bad: "#ff9c9c",
		},
	}
}

func (t Theme) withDefaults() Theme {
	d := DefaultTheme()
	fill := func(to *string, from string) {
		if *to == "" {
			*to = from
		}
	}
	fill(&t.Name, d.Name)
	fill(&t.Fonts, d.Fonts)
	for _, pair := range [][2]*Palette{{&t.Light, &d.Light}, {&t.Dark, &d.Dark}} {
		to, from := pair[0].fields(), pair[1].fields()
		for i := range to {
			fill(to[i].value, *from[i].value)
		}
	}
	return t
}

type paletteField struct {
	name  string // of its CSS variable
	value *string
}

func (p *Palette) fields() []paletteField {
	return []paletteField{
		{"page", &p.Page}, {"surface", &p.Surface}, {"text", &p.Text}, {"muted", &p.Muted}, {"border", &p.Border},
		{"accent", &p.Accent}, {"on-accent", &p.OnText}, {"good", &p.Good}, {"warn", &p.Warn}, {"bad", &p.Bad},
	}
}

var (
	colour    = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	fontStack = regexp.MustCompile(`^[A-Za-z0-9 ,"'-]{1,200}$`)
)

// check keeps anything out of the style sheet that is not a colour or a font's name: a theme comes from a file of the
// organizer, and a style sheet can send what it sees elsewhere.
func (t Theme) check() error {
	if len(t.Name) > holdfast.NameBytesMax {
		return refused("theme.name", fmt.Sprintf("longer than %d bytes", holdfast.NameBytesMax))
	}
	if !fontStack.MatchString(t.Fonts) || strings.Count(t.Fonts, `"`)%2 != 0 || strings.Count(t.Fonts, `'`)%2 != 0 {
		return refused("theme.fonts", "a font stack has names, commas and closed quotes only")
	}
	if err := checkImage(t.LogoURL); err != nil {
		return err
	}
	for _, one := range []struct {
		name    string
		palette Palette
	}{{"light", t.Light}, {"dark", t.Dark}} {
		for _, f := range one.palette.fields() {
			if !colour.MatchString(*f.value) {
				return refused("theme."+one.name+"."+f.name, fmt.Sprintf("%q is not a colour like #2f4bc0", *f.value))
			}
		}
	}
	return checkContrast(t)
}

func checkImage(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	ownPath := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//")
	if err != nil || !ownPath && (u.Scheme != "https" || u.Host == "") || strings.ContainsAny(address, " ;,'\"") {
		return refused("theme.logo_url", fmt.Sprintf("%q is neither an https address nor a path on this server", address))
	}
	return nil
}

// css gives the theme as variables. Colours of the tiers are not the organizer's to choose: they are told apart by the
// colour-blind, and each has a letter besides.
func (t Theme) css() string {
	var b strings.Builder
	fmt.Fprintf(&b, ":root{--fonts:%s;", t.Fonts)
	for _, f := range t.Light.fields() {
		fmt.Fprintf(&b, "--%s:%s;", f.name, *f.value)
	}
	b.WriteString("}\n@media (prefers-color-scheme:dark){:root{")
	for _, f := range t.Dark.fields() {
		fmt.Fprintf(&b, "--%s:%s;", f.name, *f.value)
	}
	b.WriteString("}}\n")
	return b.String()
}

func refused(field, why string) error {
	return &holdfast.Error{Kind: holdfast.Invalid, Op: "make the pages", Field: field, Message: why}
}
