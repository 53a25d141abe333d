package page

import (
	"fmt"
	"math"
	"strconv"
)

// Least contrasts of WCAG 2.1 AA: 4.5 for text (1.4.3), 3 for the edges of what can be used (1.4.11).
const (
	textContrastMin = 4.5
	edgeContrastMin = 3.0
)

// contrastPair is two colours that stand on each other somewhere in the style sheet.
type contrastPair struct {
	on, below string // names of variables
	least     float64
}

var contrastPairs = []contrastPair{
	{"text", "page", textContrastMin}, {"text", "surface", textContrastMin},
	{"muted", "page", textContrastMin}, {"muted", "surface", textContrastMin},
	{"accent", "page", textContrastMin}, {"accent", "surface", textContrastMin}, {"on-accent", "accent", textContrastMin},
	{"good", "surface", textContrastMin}, {"warn", "surface", textContrastMin}, {"bad", "surface", textContrastMin},
	{"good", "page", textContrastMin}, {"warn", "page", textContrastMin}, {"bad", "page", textContrastMin},
	{"border", "page", edgeContrastMin}, {"border", "surface", edgeContrastMin},
}

// checkContrast refuses a theme in which something could not be read.
func checkContrast(t Theme) error {
	for _, one := range []struct {
		name    string
		palette Palette
	}{{"light", t.Light}, {"dark", t.Dark}} {
		colours := map[string]string{}
		for _, f := range one.palette.fields() {
			colours[f.name] = *f.value
		}
		for _, pair := range contrastPairs {
			if got := contrast(colours[pair.on], colours[pair.below]); got < pair.least {
				return refused("theme."+one.name+"."+pair.on,
					fmt.Sprintf("%s on %s has a contrast of %.2f, which many cannot read; at least %.1f", colours[pair.on], colours[pair.below], got, pair.least))
			}
		}
	}
	return nil
}

// contrast is WCAG's ratio of two colours' luminances, from 1 to 21.
func contrast(a, b string) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance is WCAG's relative luminance of #rrggbb.
func luminance(c string) float64 {
	linear := func(hex string) float64 {
		n, _ := strconv.ParseUint(hex, 16, 8) // the theme's check has seen that these are digits
		v := float64(n) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[1:3]) + 0.7152*linear(c[3:5]) + 0.0722*linear(c[5:7])
}
