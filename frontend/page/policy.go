package page

import (
	"net/url"
	"strings"
)

// Needs says what an answer's Content-Security-Policy has to let through.
type Needs struct {
	Nonce   string   // the same as the frame's
	Pay     Pay      // of a checkout; zero elsewhere
	Captcha []string // origins of a captcha provider, for scripts, frames and requests
	// Ancestors are the origins that may show the page in a frame; nobody when empty.
	Ancestors []string
}

// Policy gives the Content-Security-Policy of a page. Nothing inline runs, nothing is loaded from elsewhere but what
// the payment provider, a captcha or the organizer's logo needs, and forms go to this server or the sandbox.
func (p *Pages) Policy(n Needs) string {
	script, frame := []string{"'self'", "'nonce-" + n.Nonce + "'"}, n.Captcha
	connect, image, form := []string{"'self'"}, []string{"'self'", "data:"}, []string{"'self'"}
	script, connect = append(script, n.Captcha...), append(connect, n.Captcha...)
	if u, err := url.Parse(p.theme.LogoURL); err == nil && u.Host != "" {
		image = append(image, "https://"+u.Host)
	}
	switch n.Pay.Provider {
	case "stripe":
		script = append(script, "https://js.stripe.com")
		connect = append(connect, "https://api.stripe.com")
		frame = append(frame[:len(frame):len(frame)], "https://js.stripe.com", "https://hooks.stripe.com")
	case "sandbox":
		if u, err := url.Parse(n.Pay.SandboxURL); err == nil && u.Host != "" {
			connect, form = append(connect, u.Scheme+"://"+u.Host), append(form, u.Scheme+"://"+u.Host)
		}
	}
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src 'self'; base-uri 'none'")
	for _, d := range []struct {
		name    string
		sources []string
	}{{"script-src", script}, {"connect-src", connect}, {"img-src", image}, {"form-action", form}, {"frame-src", frame}, {"frame-ancestors", n.Ancestors}} {
		sources := strings.Join(d.sources, " ")
		if sources == "" {
			sources = "'none'"
		}
		b.WriteString("; " + d.name + " " + sources)
	}
	return b.String()
}
