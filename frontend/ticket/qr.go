package ticket

import (
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"

	"github.com/holdfast-db/holdfast"
)

// quiet is the empty border around a QR code, in modules: ISO/IEC 18004 asks for 4.
const quiet = 4

// svgCodeMax bounds what is drawn: a ticket's code has 155 characters.
const svgCodeMax = 512

// WriteSVG draws a code as a QR code, black on white whatever the page's colours are, since scanners want it so. A quarter
// of it may be dirty or torn. label is read to those who cannot see it.
func WriteSVG(w io.Writer, code, label string) error {
	if len(code) == 0 || len(code) > svgCodeMax {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "draw ticket", Field: "code", Message: fmt.Sprintf("it does not have 1 to %d characters", svgCodeMax)}
	}
	drawn, err := qr.Encode(code, qr.Q)
	if err != nil {
		return err
	}
	var path strings.Builder
	for y := range drawn.Size {
		for x := 0; x < drawn.Size; x++ {
			from := x
			for x < drawn.Size && drawn.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	side := drawn.Size + 2*quiet
	_, err = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" shape-rendering="crispEdges">`+
		`<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="%s"/></svg>`, side, side, escape.Replace(label), side, side, path.String())
	return err
}

// escape makes a text safe in an attribute.
var escape = strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;")
