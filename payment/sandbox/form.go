package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// fromForm reports whether a browser sent a form by itself, as a checkout without JavaScript does: nobody would read what
// the API answers, so the buyer is sent on.
func fromForm(r *http.Request, e endpoint, req *request) bool {
	return e.op == "confirm" && req.public && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// sendOn sends a buyer to the bank's page, where there is one to go to, or back to the shop, which asks how it went. It
// reports false where the shop did not say where it is.
func sendOn(w http.ResponseWriter, r *http.Request, shop string, body []byte) bool {
	var shown struct {
		NextAction *nextAction `json:"next_action"`
	}
	if json.Unmarshal(body, &shown) == nil && shown.NextAction != nil && shown.NextAction.RedirectToURL != nil {
		shop = shown.NextAction.RedirectToURL.URL
	}
	if to, err := url.Parse(shop); err != nil || to.Scheme != "http" && to.Scheme != "https" {
		return false
	}
	http.Redirect(w, r, shop, http.StatusSeeOther)
	return true
}
