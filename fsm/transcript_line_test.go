package fsm_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// The line in the language of the transcripts. Among the rules of a description:
//
//	line opens=10s draw=20s sale=30s ceiling=5 rate=2 session=60s idle=20s call=10s offer=30s fallback=5s beacon=1s who=2
//
// where instants count from the story's first one, and beacon is the period of a chain that began with it. Commands:
//
//	openline s                    commits to the secret that is called s
//	enter ann ben cid             makes three places in one command
//	draw, draw round 7            with the beacon's round; "forged 7" is not signed by its holder
//	freeze, stop, go, over        and ceiling 5, rate 2: what can be set
//	redeem ann, leave ann         with the place that ann has; "redeem ann as ben" with her key for his place
//	admit 3
//	returns ann 2 in stalls of vip, noreturns ann
//
// These stand alone in their block:
//
//	at 12s                        an entry without commands at this instant of the wall clock
//	line                          what the machine says of the line
//	place ann                     what became of her place
//	record                        the record of the draw: whether it proves the order, and where everybody stands

// ticket is what somebody who entered has.
type ticket struct {
	key  holdfast.PlaceKey
	tree []holdfast.PlaceKey
	at   int
	base func() holdfast.PlaceNumber
}

func keyOf(name string) holdfast.PlaceKey { return sha256.Sum256([]byte("key of " + name)) }

func (s *story) proof(name string) command.Proof {
	owner, as, other := strings.Cut(name, " as ")
	p := command.Proof{Key: keyOf(owner)}
	if !other {
		as = owner
	}
	if t, ok := s.tickets[as]; ok {
		p.Number, p.Path = t.base()+holdfast.PlaceNumber(t.at), pathIn(1, t.tree, t.at)
	}
	return p
}

var lineChanges = map[string]command.LineChange{"stop": command.LinePause, "go": command.LineResume, "ceiling": command.LineCeiling, "rate": command.LineRate,
	"freeze": command.LineFreeze, "over": command.LineClose}

// parseLine reads a command of the line; nil if it is none.
func (s *story) parseLine(h command.Header, verb string, args []string) command.Command {
	switch verb {
	case "openline":
		return &command.OpenLine{Header: h, Secret: sha256.Sum256([]byte("secret " + args[0]))}
	case "enter":
		return s.parseEnter(h, args)
	case "draw":
		c := &command.Draw{Header: h}
		if len(args) == 2 {
			c.Beacon = beaconRound(uint64(number(s.t, args[1])))
			if args[0] == "forged" {
				c.Beacon.Signature[0]++
			}
		}
		return c
	case "freeze", "stop", "go", "over", "ceiling", "rate":
		c := &command.SetLine{Header: h, Change: lineChanges[verb]}
		if len(args) > 0 {
			c.Value = uint32(number(s.t, args[0]))
		}
		return c
	case "redeem":
		return &command.Redeem{Header: h, Proof: s.proof(strings.Join(args, " "))}
	case "leave":
		return &command.LeaveLine{Header: h, Proof: s.proof(strings.Join(args, " "))}
	case "admit":
		return &command.Admit{Header: h, Count: uint32(number(s.t, args[0])), Target: 7}
	case "returns":
		c := &command.JoinReturns{Header: h, Proof: s.proof(args[0]), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(number(s.t, args[1]))}
		for args = args[2:]; len(args) > 1; args = args[2:] {
			spec := s.model.events[h.Event].spec
			switch args[0] {
			case "in":
				at := slices.IndexFunc(spec.Sections, func(x command.Section) bool { return x.Name == args[1] })
				c.Section = holdfast.SectionIndex(at)
				if at < 0 {
					c.Section = holdfast.SectionIndex(len(spec.Sections))
				}
			case "of":
				c.Tier = s.tier(&spec, args[1])
			}
		}
		return c
	case "noreturns":
		return &command.LeaveReturns{Header: h, Buyer: s.buyer(args[0])}
	}
	return nil
}

func (s *story) parseEnter(h command.Header, names []string) *command.Enter {
	var tree []holdfast.PlaceKey
	for _, name := range names {
		tree = append(tree, keyOf(name))
	}
	root := draw.Root(leavesOf(h.Event, tree))
	base := func() holdfast.PlaceNumber {
		for _, e := range s.model.events[h.Event].line.enters {
			if e.root == root {
				return holdfast.PlaceNumber(e.base)
			}
		}
		return 0
	}
	for i, name := range names {
		if _, has := s.tickets[name]; !has {
			s.tickets[name] = ticket{key: keyOf(name), tree: tree, at: i, base: base}
		}
	}
	s.model.trees[root] = tree
	return &command.Enter{Header: h, Count: uint16(len(names)), Root: root}
}

var beaconKey = ed25519.NewKeyFromSeed(make([]byte, 32))

// chainOf is the chain of a beacon that began with the story.
func chainOf(periodMs uint32) holdfast.Beacon {
	return holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte(beaconKey.Public().(ed25519.PublicKey)), GenesisMs: storyBegins, PeriodMs: periodMs}
}

func beaconRound(round uint64) holdfast.BeaconRound {
	r := holdfast.BeaconRound{Round: round, Previous: [64]byte{byte(round)}}
	message := draw.Signed(round, &r.Previous)
	r.Signature = [64]byte(ed25519.Sign(beaconKey, message[:]))
	return r
}

const storyBegins = 1_900_000_000_000

func (s *story) lineRules(args []string) command.LineRules {
	l := command.LineRules{Enabled: true}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		ms := func() uint32 { return uint32(duration(s.t, value) / time.Millisecond) }
		instant := func() int64 { return storyBegins + int64(ms()) }
		switch name {
		case "opens":
			l.OpensMs = instant()
		case "draw":
			l.DrawMs = instant()
		case "sale":
			l.SaleMs = instant()
		case "session":
			l.SessionMs = ms()
		case "idle":
			l.IdleMs = ms()
		case "call":
			l.CallMs = ms()
		case "offer":
			l.OfferMs = ms()
		case "fallback":
			l.FallbackMs = ms()
		case "ceiling":
			l.CeilingMax = uint32(number(s.t, value))
		case "rate":
			l.RateMax = uint32(number(s.t, value))
		case "who":
			l.Who = command.Identity(number(s.t, value))
		case "beacon":
			l.Beacon = chainOf(ms())
		default:
			s.t.Fatalf("there is no rule %q of a line", arg)
		}
	}
	return l
}

// showLine prints what the machine says of the line of evt_1, and compares with the model.
func (s *story) showLine() string {
	v, ok := s.machine.Line(1)
	if !ok {
		return "no line\n"
	}
	if want := s.model.lineView(s.model.events[1]); v != want {
		s.t.Errorf("the line:\n got %+v\nwant %+v", v, want)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s", v.State)
	if v.Paused {
		b.WriteString(", paused")
	}
	if v.FrozenMs != 0 {
		fmt.Fprintf(&b, ", %d take part", v.Cohort)
	}
	if v.Round != 0 {
		fmt.Fprintf(&b, ", round %d", v.Round)
	}
	if v.Fallback {
		b.WriteString(" was done without")
	}
	fmt.Fprintf(&b, "\n  served %d of %d; %d of %d sessions, %d looking; called and not come %d\n", v.Served, v.Tail, v.Sessions, v.Ceiling, v.Looking, v.Called)
	fmt.Fprintf(&b, "  %d places:", v.Issued)
	for state, n := range v.Counts {
		if n > 0 {
			fmt.Fprintf(&b, " %d %s", n, holdfast.PlaceState(state))
		}
	}
	if v.Returns > 0 {
		fmt.Fprintf(&b, "; %d wait for returns", v.Returns)
	}
	return b.String() + "\n"
}

func (s *story) showPlace(name string) string {
	p := s.proof(name)
	v, ok := s.machine.Place(1, p.Number, p.Key, p.Path)
	if !ok {
		return "  no such place\n"
	}
	if want := s.model.place(s.model.events[1], &p); v != want {
		s.t.Errorf("the place of %s:\n got %+v\nwant %+v", name, v, want)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  place %d is %s", v.Number, v.State)
	if v.Drawn {
		fmt.Fprintf(&b, " at position %d, served is %d", v.Position, v.Served)
	}
	if v.Deferrals > 0 {
		fmt.Fprintf(&b, ", missed %d turns", v.Deferrals)
	}
	if v.Until != 0 {
		fmt.Fprintf(&b, ", until %s", at(v.Until))
	}
	if v.Returns {
		fmt.Fprintf(&b, ", %d before it wait for returns", v.Rank)
	}
	return b.String() + "\n"
}

func (s *story) showRecord() string {
	cut := s.machine.Cut()
	defer cut.Release()
	r, ok := cut.DrawRecord(1)
	if !ok {
		return "  no record\n"
	}
	if err := draw.Verify(r); err != nil {
		return "  " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  proves the order of %d places in %d headers\n", r.Cohort, len(r.Headers))
	for _, name := range slices.Sorted(maps.Keys(s.tickets)) {
		p := s.proof(name)
		if position, err := draw.VerifyPlace(r, p.Number, p.Key, p.Path); err == nil {
			fmt.Fprintf(&b, "  %s has place %d and stands at %d\n", name, p.Number, position)
		}
	}
	return b.String()
}
