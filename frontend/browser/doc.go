// Package browser walks through the pages with a real browser: Debian's chromium, driven by chromedp. It is a module of
// its own, so that nobody who imports holdfast gets a browser's driver along. docs/pages.md says how to run it.
package browser
