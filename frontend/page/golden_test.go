package page_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/frontend/page/sample"
)

var update = flag.Bool("update", false, "write the golden files anew")

func pages(t testing.TB, c page.Config) *page.Pages {
	t.Helper()
	p, err := page.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t testing.TB, p *page.Pages, s sample.State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(p, &b); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return b.String()
}

// hashedName stands in addresses of static files; golden files leave it out, so that a change of a script changes no
// page.
var hashedName = regexp.MustCompile(`-[0-9a-f]{16}\.(js|css|svg)`)

func TestPagesInEveryState(t *testing.T) {
	p := pages(t, page.Config{})
	seen := map[string]bool{}
	for _, state := range sample.All() {
		if seen[state.Name] {
			t.Errorf("two states are named %s", state.Name)
		}
		seen[state.Name] = true
		got := hashedName.ReplaceAllString(render(t, p, state), "-HASH.$1")
		file := filepath.Join("testdata", state.Name+".html")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what it was (go test ./frontend/page -update writes it anew): %s", file, firstDifference(string(want), got))
		}
	}
	files, err := filepath.Glob("testdata/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".html"); !seen[name] {
			t.Errorf("%s is of no state: remove it", file)
		}
	}
}

func firstDifference(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range wants {
		if i >= len(gots) || wants[i] != gots[i] {
			return "want\n" + wants[i] + "\ngot\n" + strings.Join(gots[min(i, len(gots)):min(i+1, len(gots))], "")
		}
	}
	return "it is longer"
}

// TestWhatEveryPageHas looks for what a person with a keyboard or a screen reader needs on each page, and for what the
// strict policy would refuse.
func TestWhatEveryPageHas(t *testing.T) {
	p := pages(t, page.Config{})
	for _, state := range sample.All() {
		html := render(t, p, state)
		for _, must := range []string{`<html lang="en">`, `class="skip" href="#main"`, `<main id="main"`, `<header`, `<nav aria-label=`, `<footer`, `<h1`, `name="viewport"`, `aria-live="polite"`, `<title>`} {
			if !strings.Contains(html, must) {
				t.Errorf("%s has no %s", state.Name, must)
			}
		}
		if n := strings.Count(html, "<h1"); n != 1 {
			t.Errorf("%s has %d headings of the first level", state.Name, n)
		}
		for _, form := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(html, -1) {
			ours := strings.Contains(form, `action="/`)
			if token := strings.Contains(form, `name="csrf" value="`+sample.CSRF+`"`); token != ours {
				t.Errorf("%s: a form to ourselves (%t) has a token (%t): %.80s", state.Name, ours, token, form)
			}
		}
		for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(html, -1) {
			if !strings.Contains(tag, ` nonce="`+sample.Nonce+`"`) || !strings.Contains(tag, ` src="`) {
				t.Errorf("%s: %s would not run: no nonce, or inline", state.Name, tag)
			}
		}
		for what, is := range map[string]*regexp.Regexp{
			"an inline style": regexp.MustCompile(`<style|\sstyle="`), "an inline handler": regexp.MustCompile(`\son[a-z]+="`), "an address of a script": regexp.MustCompile(`(?i)javascript:`),
			"a value that html/template refused": regexp.MustCompile(`ZgotmplZ`),
			"a forgotten value":                  regexp.MustCompile(`<no value>|%!|undefined`),
		} {
			if found := is.FindString(html); found != "" {
				t.Errorf("%s has %s: %s", state.Name, what, found)
			}
		}
		unlabelled(t, state.Name, html)
	}
}

// unlabelled complains about fields without a label.
func unlabelled(t *testing.T, name, html string) {
	for _, tag := range regexp.MustCompile(`<(input|select|textarea)[^>]*>`).FindAllString(html, -1) {
		if strings.Contains(tag, `type="hidden"`) || strings.Contains(tag, `type="radio"`) || strings.Contains(tag, `type="checkbox"`) {
			continue // those stand inside their label
		}
		id := regexp.MustCompile(` id="([^"]+)"`).FindStringSubmatch(tag)
		if id == nil || !strings.Contains(html, `<label for="`+id[1]+`"`) {
			t.Errorf("%s: no label for %s", name, tag)
		}
	}
	for _, ref := range regexp.MustCompile(`aria-(?:labelledby|describedby)="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		for id := range strings.FieldsSeq(ref[1]) {
			if !strings.Contains(html, ` id="`+id+`"`) {
				t.Errorf("%s: %s names #%s, which is not there", name, ref[0], id)
			}
		}
	}
}
