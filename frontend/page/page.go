package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed templates
var templateFiles embed.FS

// Config is what the pages need to know once.
type Config struct {
	// Theme is the organizer's look. Its zero value is ours.
	Theme Theme
	// Prefix is where Static is mounted; empty: /static/.
	Prefix string
}

// Pages renders the storefront's pages. Its methods may be called concurrently.
type Pages struct {
	theme  Theme
	assets *assets
	pages  map[string]*template.Template
}

// names lists the pages: each has a template of its name.
var names = []string{"list", "event", "room", "seats", "checkout", "order", "returns", "find", "draw", "error"}

// New makes the pages. It refuses a theme by naming the field at fault.
func New(c Config) (*Pages, error) {
	theme := c.Theme.withDefaults()
	if err := theme.check(); err != nil {
		return nil, err
	}
	if c.Prefix == "" {
		c.Prefix = "/static/"
	}
	if !strings.HasPrefix(c.Prefix, "/") || !strings.HasSuffix(c.Prefix, "/") {
		return nil, refused("prefix", fmt.Sprintf("%q does not begin and end with a slash", c.Prefix))
	}
	p := &Pages{theme: theme, pages: map[string]*template.Template{}}
	var err error
	if p.assets, err = newAssets(c.Prefix, theme.css()); err != nil {
		return nil, err
	}
	shared, err := template.New("").Funcs(p.funcs()).ParseFS(templateFiles, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		own, err := shared.Clone()
		if err == nil {
			own, err = own.ParseFS(templateFiles, "templates/"+name+".html")
		}
		if err != nil {
			return nil, err
		}
		p.pages[name] = own
	}
	return p, nil
}

// List writes the list of events.
func (p *Pages) List(w io.Writer, v ListView) error { return p.write(w, "list", &v.Frame, v) }

// Event writes an event's page.
func (p *Pages) Event(w io.Writer, v EventView) error { return p.write(w, "event", &v.Frame, v) }

// Room writes the waiting room.
func (p *Pages) Room(w io.Writer, v RoomView) error { return p.write(w, "room", &v.Frame, v) }

// Seats writes the seat map.
func (p *Pages) Seats(w io.Writer, v SeatsView) error { return p.write(w, "seats", &v.Frame, v) }

// Checkout writes the checkout.
func (p *Pages) Checkout(w io.Writer, v CheckoutView) error {
	return p.write(w, "checkout", &v.Frame, v)
}

// Order writes an order with its tickets.
func (p *Pages) Order(w io.Writer, v OrderView) error { return p.write(w, "order", &v.Frame, v) }

// Returns writes the page of an event that has nothing free, with its waiting list.
func (p *Pages) Returns(w io.Writer, v ReturnsView) error { return p.write(w, "returns", &v.Frame, v) }

// Find writes "find my order".
func (p *Pages) Find(w io.Writer, v FindView) error { return p.write(w, "find", &v.Frame, v) }

// Draw writes the record of a draw.
func (p *Pages) Draw(w io.Writer, v DrawView) error { return p.write(w, "draw", &v.Frame, v) }

// Error writes a failure that takes a whole page.
func (p *Pages) Error(w io.Writer, v ErrorView) error { return p.write(w, "error", &v.Frame, v) }

// content is what the frame's template gets: the frame, and the page's view for the blocks inside.
type content struct {
	*Frame
	Page  string
	Theme Theme
	V     any
}

// write renders into memory first, so that a failing template never leaves half a page with status 200.
func (p *Pages) write(w io.Writer, name string, f *Frame, v any) error {
	var b bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&b, "frame", content{Frame: f, Page: name, Theme: p.theme, V: v}); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
