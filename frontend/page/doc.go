// Package page makes the storefront's pages: HTML from templates that are embedded, one view and one method a page,
// and the few small scripts and the style sheet that go with them.
//
// A view is plain data, filled by the server; the package asks nobody anything, has no clock and knows no route's
// handler. It imports the words only. What a page says is complete without JavaScript: the buyer comes as far as the
// hold by "best available" with forms alone. The scripts under static make the same pages live: they count down, poll
// the place in the line, draw the seat map, verify the draw.
//
// Everything in a view is text and is escaped by html/template. The server answers every page with a strict
// Content-Security-Policy; Policy says which sources a page needs. docs/pages.md is the guide.
package page
