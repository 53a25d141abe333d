package page

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// The overview of a venue: sections as blocks on arcs round a stage, in the order of the description (best first). An
// event's description has no coordinates, so this is a picture of the order, not of the building.
const (
	venueWidth     = 900.0
	arcRadius      = 1000.0 // of the first arc; large, so that blocks are nearly upright
	arcHalfWidth   = 430.0  // what half an arc takes of the width
	blockDepth     = 128.0
	blockGap       = 14.0
	stageFar       = 94.0 // of the first arc, as is stageNear
	stageNear      = 34.0
	stageHalf      = 0.2 // radians
	shapesMax      = 60  // more sections than this are a list only: nobody could read the picture
	blockNameRunes = 44  // of one arc's names together
)

// Venue is the picture of a venue's sections.
type Venue struct {
	Width, Height  int
	Stage          string // an SVG path
	StageX, StageY int
	Shapes         []VenueShape
}

// VenueShape is one section in the picture.
type VenueShape struct {
	Section            Section
	Name               string // shortened to fit
	Small              bool   // it fits in small letters
	Path               string
	X, Y, NameY, NoteY int
}

// layout draws the sections; nil when there are none, or too many.
func layout(sections []Section) *Venue {
	if len(sections) == 0 || len(sections) > shapesMax {
		return nil
	}
	perArc := 3
	if len(sections) > 12 {
		perArc = 5
	}
	arcs := (len(sections) + perArc - 1) / perArc
	centre := 8 - (arcRadius-stageFar)*math.Cos(stageHalf) // so that the stage's ends are at the top
	v := &Venue{Width: venueWidth, StageX: venueWidth / 2, StageY: int(centre+arcRadius-(stageFar+stageNear)/2) + 9}
	v.Stage = sector(centre, arcRadius-stageFar, arcRadius-stageNear, -stageHalf, stageHalf)
	for i, s := range sections {
		arc := i / perArc
		inArc := min(perArc, len(sections)-arc*perArc)
		inner := arcRadius + float64(arc)*(blockDepth+blockGap)
		half := math.Asin(arcHalfWidth / (inner + blockDepth))
		width := 2 * half / float64(inArc)
		from := -half + float64(i%perArc)*width
		gap := blockGap / 2 / inner
		middle, radius := from+width/2, inner+blockDepth/2
		x, y := venueWidth/2+radius*math.Sin(middle), centre+radius*math.Cos(middle)
		room, small := blockNameRunes/inArc, false
		if small = utf8.RuneCountInString(s.Name) > room; small {
			room = room * 8 / 5
		}
		v.Shapes = append(v.Shapes, VenueShape{Section: s, Name: shorten(s.Name, room), Small: small,
			Path: sector(centre, inner, inner+blockDepth, from+gap, from+width-gap),
			X:    int(x), Y: int(y), NameY: int(y) - 4, NoteY: int(y) + 32})
	}
	v.Height = int(centre+arcRadius+float64(arcs)*(blockDepth+blockGap)) + 4
	return v
}

// sector is the path of a block between two radii and two angles, measured from straight down.
func sector(centre, inner, outer, from, to float64) string {
	at := func(r, angle float64) string {
		return fmt.Sprintf("%.1f %.1f", venueWidth/2+r*math.Sin(angle), centre+r*math.Cos(angle))
	}
	return fmt.Sprintf("M%sA%.0f %.0f 0 0 0 %sL%sA%.0f %.0f 0 0 1 %sZ",
		at(inner, from), inner, inner, at(inner, to), at(outer, to), outer, outer, at(outer, from))
}

func shorten(name string, runes int) string {
	if utf8.RuneCountInString(name) <= runes {
		return name
	}
	return string([]rune(name)[:runes-1]) + "…"
}
