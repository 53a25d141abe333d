package main

import (
	"encoding/hex"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The line in an event file, and back. An event without the block has no line; an empty one, `line: {}`, is opened and
// drawn by hand. Instants are written with their offset, as 2026-11-27T10:00:00+01:00.

var identities = []string{command.Anonymous: "anonymous", command.ByLink: "link", command.ByAccount: "account", command.ByAssertion: "assertion"}

var challenges = []string{command.ChallengeNone: "none", command.ChallengeWork: "work", command.ChallengeCaptcha: "captcha"}

func (f *eventFile) line(n *yaml.Node) {
	l := &f.spec.Line
	l.Enabled = true
	f.at("line", n, "line")
	// field reads one field, and notes where it stands.
	field := func(name string, read func(n *yaml.Node, field string)) func(*yaml.Node) {
		return func(n *yaml.Node) { f.at("line."+name, n, "line."+name); read(n, "line."+name) }
	}
	instant := func(name string, to *int64) func(*yaml.Node) {
		return field(name, func(n *yaml.Node, field string) { *to = f.instant(n, field) })
	}
	span := func(name string, to *uint32) func(*yaml.Node) {
		return field(name, func(n *yaml.Node, field string) { *to = f.duration(n, field) })
	}
	number := func(name string, to *uint32, most uint64) func(*yaml.Node) {
		return field(name, func(n *yaml.Node, field string) { *to = uint32(f.number(n, field, 1, most)) })
	}
	f.mapping(n, "line", fields{
		"opens":     instant("opens", &l.OpensMs),
		"draw":      instant("draw", &l.DrawMs),
		"sale":      instant("sale", &l.SaleMs),
		"ceiling":   number("ceiling", &l.CeilingMax, command.CeilingMax),
		"rate":      number("rate", &l.RateMax, command.RateMax),
		"session":   span("session", &l.SessionMs),
		"idle":      span("idle", &l.IdleMs),
		"call":      span("call", &l.CallMs),
		"offer":     span("offer", &l.OfferMs),
		"who":       field("who", func(n *yaml.Node, field string) { l.Who = command.Identity(f.oneOf(n, field, identities)) }),
		"challenge": field("challenge", func(n *yaml.Node, field string) { l.Challenge = command.Challenge(f.oneOf(n, field, challenges)) }),
		"work_bits": field("work_bits", func(n *yaml.Node, field string) { l.WorkBits = uint8(f.number(n, field, 1, command.WorkBitsMax)) }),
		"beacon":    field("beacon", func(n *yaml.Node, _ string) { f.beacon(n) }),
	})
}

func (f *eventFile) beacon(n *yaml.Node) {
	l := &f.spec.Line
	l.Beacon.Kind = holdfast.BeaconChain
	at := func(name string, read func(n *yaml.Node, field string)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			f.at("line.beacon."+name, n, "line.beacon."+name)
			read(n, "line.beacon."+name)
		}
	}
	f.mapping(n, "line.beacon", fields{
		"key": at("key", func(n *yaml.Node, field string) {
			key, err := hex.DecodeString(f.text(n, field))
			if err != nil || len(key) != len(l.Beacon.PublicKey) {
				f.fail(n.Line, field, "%q is not an Ed25519 public key: 64 hex digits", n.Value)
				return
			}
			copy(l.Beacon.PublicKey[:], key)
		}),
		"genesis": at("genesis", func(n *yaml.Node, field string) { l.Beacon.GenesisMs = f.instant(n, field) }),
		"period":  at("period", func(n *yaml.Node, field string) { l.Beacon.PeriodMs = f.duration(n, field) }),
		"round":   at("round", func(n *yaml.Node, field string) { l.Beacon.Round = f.number(n, field, 1, command.RoundMax) }),
		"fallback": func(n *yaml.Node) {
			f.at("line.fallback", n, "line.beacon.fallback")
			l.FallbackMs = f.duration(n, "line.beacon.fallback")
		},
	}, "key", "genesis", "period")
}

// instant reads a point in time into Unix milliseconds.
func (f *eventFile) instant(n *yaml.Node, field string) int64 {
	t, err := time.Parse(time.RFC3339Nano, f.text(n, field))
	if err != nil || t.Nanosecond()%int(time.Millisecond) != 0 || t.UnixMilli() <= 0 {
		f.fail(n.Line, field, "%q is not an instant with its offset, like 2026-11-27T10:00:00+01:00", n.Value)
		return 0
	}
	return t.UnixMilli()
}

// oneOf reads one of some words into its number.
func (f *eventFile) oneOf(n *yaml.Node, field string, words []string) int {
	text := f.text(n, field)
	for i, w := range words {
		if w == text {
			return i
		}
	}
	f.fail(n.Line, field, "%q is none of %s%s", text, wordList(words), didYouMean(text, words))
	return 0
}

func wordList(words []string) (text string) {
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += w
	}
	return text
}

type lineFileOut struct {
	Opens     string     `yaml:"opens,omitempty"`
	Draw      string     `yaml:"draw,omitempty"`
	Sale      string     `yaml:"sale,omitempty"`
	Ceiling   uint32     `yaml:"ceiling,omitempty"`
	Rate      uint32     `yaml:"rate,omitempty"`
	Session   string     `yaml:"session,omitempty"`
	Idle      string     `yaml:"idle,omitempty"`
	Call      string     `yaml:"call,omitempty"`
	Offer     string     `yaml:"offer,omitempty"`
	Who       string     `yaml:"who,omitempty"`
	Challenge string     `yaml:"challenge,omitempty"`
	WorkBits  uint8      `yaml:"work_bits,omitempty"`
	Beacon    *beaconOut `yaml:"beacon,omitempty"`
}

type beaconOut struct {
	Key      string `yaml:"key"`
	Genesis  string `yaml:"genesis"`
	Period   string `yaml:"period"`
	Round    uint64 `yaml:"round,omitempty"`
	Fallback string `yaml:"fallback,omitempty"`
}

// lineFor is a line as an event file has it; nil for none.
func lineFor(l *command.LineRules) *lineFileOut {
	if !l.Enabled {
		return nil
	}
	out := &lineFileOut{Opens: instantFor(l.OpensMs), Draw: instantFor(l.DrawMs), Sale: instantFor(l.SaleMs), Ceiling: l.CeilingMax, Rate: l.RateMax,
		Session: durationFor(l.SessionMs), Idle: durationFor(l.IdleMs), Call: durationFor(l.CallMs), Offer: durationFor(l.OfferMs), WorkBits: l.WorkBits}
	if l.Who != command.Anonymous {
		out.Who = identities[l.Who]
	}
	if l.Challenge != command.ChallengeNone {
		out.Challenge = challenges[l.Challenge]
	}
	if b := &l.Beacon; b.Kind == holdfast.BeaconChain {
		out.Beacon = &beaconOut{Key: hex.EncodeToString(b.PublicKey[:]), Genesis: instantFor(b.GenesisMs), Period: durationFor(b.PeriodMs), Round: b.Round,
			Fallback: durationFor(l.FallbackMs)}
	}
	return out
}

func instantFor(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
}

func durationFor(ms uint32) string {
	if ms == 0 {
		return ""
	}
	return (time.Duration(ms) * time.Millisecond).String()
}
