package command_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

var lineKinds = []command.Kind{command.KindOpenLine, command.KindEnter, command.KindDraw, command.KindRedeem, command.KindAdmit, command.KindSetLine,
	command.KindLeaveLine, command.KindJoinReturns, command.KindLeaveReturns}

func decodeLine(d *command.Decoder, cmd []byte) (command.Command, error) {
	switch command.KindOf(cmd) {
	case command.KindOpenLine:
		return d.OpenLine(cmd)
	case command.KindEnter:
		return d.Enter(cmd)
	case command.KindDraw:
		return d.Draw(cmd)
	case command.KindRedeem:
		return d.Redeem(cmd)
	case command.KindAdmit:
		return d.Admit(cmd)
	case command.KindSetLine:
		return d.SetLine(cmd)
	case command.KindLeaveLine:
		return d.LeaveLine(cmd)
	case command.KindJoinReturns:
		return d.JoinReturns(cmd)
	case command.KindLeaveReturns:
		return d.LeaveReturns(cmd)
	}
	return nil, errors.New("no decoder")
}

// lineDecoder gives the decoder of one kind, whatever the command is.
func lineDecoder(d *command.Decoder, kind command.Kind) func([]byte) error {
	methods := map[command.Kind]func([]byte) error{
		command.KindOpenLine:     func(b []byte) error { _, err := d.OpenLine(b); return err },
		command.KindEnter:        func(b []byte) error { _, err := d.Enter(b); return err },
		command.KindDraw:         func(b []byte) error { _, err := d.Draw(b); return err },
		command.KindRedeem:       func(b []byte) error { _, err := d.Redeem(b); return err },
		command.KindAdmit:        func(b []byte) error { _, err := d.Admit(b); return err },
		command.KindSetLine:      func(b []byte) error { _, err := d.SetLine(b); return err },
		command.KindLeaveLine:    func(b []byte) error { _, err := d.LeaveLine(b); return err },
		command.KindJoinReturns:  func(b []byte) error { _, err := d.JoinReturns(b); return err },
		command.KindLeaveReturns: func(b []byte) error { _, err := d.LeaveReturns(b); return err },
	}
	return methods[kind]
}

func id32(t *rapid.T, label string) [32]byte {
	return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

func proof(t *rapid.T) command.Proof {
	p := command.Proof{Number: holdfast.PlaceNumber(rapid.Uint32().Draw(t, "number")), Key: id32(t, "key"), Path: [][32]byte{}}
	for range rapid.IntRange(0, holdfast.PathMax).Draw(t, "path") {
		p.Path = append(p.Path, id32(t, "hash"))
	}
	return p
}

// lineCommand draws a command of the line; nil if the kind is none.
func lineCommand(t *rapid.T, kind command.Kind) command.Command {
	switch kind {
	case command.KindOpenLine:
		secret := id32(t, "secret")
		secret[0] |= 1
		return &command.OpenLine{Header: header(t, kind), Secret: secret}
	case command.KindEnter:
		return &command.Enter{Header: header(t, kind), Count: rapid.Uint16Range(1, holdfast.EnterPlacesMax).Draw(t, "count"), Root: id32(t, "root")}
	case command.KindDraw:
		c := &command.Draw{Header: header(t, kind)}
		if rapid.Bool().Draw(t, "beacon") {
			c.Beacon = holdfast.BeaconRound{Round: rapid.Uint64Min(1).Draw(t, "round"), Previous: [64]byte(bytes.Repeat([]byte{rapid.Byte().Draw(t, "previous")}, 64)),
				Signature: [64]byte(bytes.Repeat([]byte{rapid.Byte().Draw(t, "signature")}, 64))}
		}
		return c
	case command.KindRedeem:
		return &command.Redeem{Header: header(t, kind), Proof: proof(t)}
	case command.KindAdmit:
		return &command.Admit{Header: header(t, kind), Bound: holdfast.Bound(rapid.Uint8Max(holdfast.Bounds-1).Draw(t, "bound")), Count: rapid.Uint32().Draw(t, "count"), Target: rapid.Uint32().Draw(t, "target"),
			BusyPermille: rapid.Uint16().Draw(t, "busy"), ProviderPerMinute: rapid.Uint32().Draw(t, "provider")}
	case command.KindSetLine:
		c := &command.SetLine{Header: header(t, kind), Change: command.LineChange(rapid.Uint8Range(1, 6).Draw(t, "change"))}
		if c.Change == command.LineCeiling || c.Change == command.LineRate {
			c.Value = rapid.Uint32().Draw(t, "value")
		}
		return c
	case command.KindLeaveLine:
		return &command.LeaveLine{Header: header(t, kind), Proof: proof(t)}
	case command.KindJoinReturns:
		return &command.JoinReturns{Header: header(t, kind), Proof: proof(t), Section: holdfast.SectionIndex(rapid.Uint16().Draw(t, "section")),
			Tier: holdfast.TierIndex(rapid.Uint8().Draw(t, "tier")), Count: rapid.Uint8Range(1, holdfast.UnitsPerHoldMax).Draw(t, "count")}
	case command.KindLeaveReturns:
		return &command.LeaveReturns{Header: header(t, kind), Buyer: id16(t, "buyer")}
	}
	return nil
}

// lineRules draws rules that are valid, or none.
func lineRules(t *rapid.T) (l command.LineRules) {
	if !rapid.Bool().Draw(t, "line") {
		return l
	}
	last := int64(0)
	instant := func(label string) int64 {
		ms := rapid.Int64Range(last, command.InstantMsMax).Draw(t, label)
		if rapid.Bool().Draw(t, "by hand") {
			return 0
		}
		last = ms
		return ms
	}
	l = command.LineRules{Enabled: true, OpensMs: instant("opens"), DrawMs: instant("draw"), SaleMs: instant("sale"),
		CeilingMax: rapid.Uint32Max(command.CeilingMax).Draw(t, "ceiling"), RateMax: rapid.Uint32Max(command.RateMax).Draw(t, "rate"),
		SessionMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "session"), IdleMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "idle"),
		CallMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "call"), OfferMs: rapid.Uint32Max(command.TimeMsMax).Draw(t, "offer"),
		Who: command.Identity(rapid.Uint8Max(3).Draw(t, "who")), Challenge: command.Challenge(rapid.Uint8Max(2).Draw(t, "challenge"))}
	if l.Challenge == command.ChallengeWork {
		l.WorkBits = rapid.Uint8Range(1, command.WorkBitsMax).Draw(t, "work")
	}
	if rapid.Bool().Draw(t, "beacon") {
		key := id32(t, "beacon key")
		key[0] |= 1
		l.FallbackMs = rapid.Uint32Max(command.TimeMsMax).Draw(t, "fallback")
		l.Beacon = holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: key, GenesisMs: rapid.Int64Range(1, command.InstantMsMax).Draw(t, "genesis"),
			PeriodMs: rapid.Uint32Range(command.PeriodMsMin, command.TimeMsMax).Draw(t, "period"), Round: rapid.Uint64Max(command.RoundMax).Draw(t, "round")}
		if l.Beacon.Round != 0 && l.Beacon.RoundTimeMs(l.Beacon.Round) <= l.DrawMs {
			l.Beacon.Round = 0
		}
	}
	return l
}

// TestThePackedFormOfTheLineIsPinned: these bytes are in logs and archives of clusters that exist.
func TestThePackedFormOfTheLineIsPinned(t *testing.T) {
	h := command.Header{ID: holdfast.CommandID{0xC0, 15: 0xC1}, Event: 7}
	const head = "c00000000000000000000000000000c1" + "07000000"
	thirtyTwo := func(b byte) (out [32]byte) { return [32]byte(bytes.Repeat([]byte{b}, 32)) }
	rep := func(b string, n int) string { return strings.Repeat(b, n) }
	p := command.Proof{Number: 0x01020304, Key: thirtyTwo(0xAA), Path: [][32]byte{thirtyTwo(0xBB), thirtyTwo(0xCC)}}
	packedProof := "04030201" + rep("aa", 32) + "02" + rep("bb", 32) + rep("cc", 32)
	for _, c := range []struct {
		cmd  command.Command
		want string
	}{
		{&command.OpenLine{Header: h, Secret: thirtyTwo(0xEE)}, "3500" + "28" + head + rep("ee", 32)},
		{&command.Enter{Header: h, Count: 0x0102, Root: thirtyTwo(0xDD)}, "3700" + "29" + head + "0201" + rep("dd", 32)},
		{&command.Draw{Header: h}, "1500" + "2a" + head},
		{&command.Draw{Header: h, Beacon: holdfast.BeaconRound{Round: 3, Previous: [64]byte(bytes.Repeat([]byte{1}, 64)), Signature: [64]byte(bytes.Repeat([]byte{2}, 64))}},
			"9d00" + "2a" + head + "0300000000000000" + rep("01", 64) + rep("02", 64)},
		{&command.Redeem{Header: h, Proof: p}, "7a00" + "2b" + head + packedProof},
		{&command.Admit{Header: h, Count: 1, Target: 2, BusyPermille: 3, ProviderPerMinute: 4, Bound: 5}, "2400" + "2c" + head + "01000000" + "02000000" + "0300" + "04000000" + "05"},
		{&command.SetLine{Header: h, Change: command.LineRate, Value: 9}, "1a00" + "2d" + head + "04" + "09000000"},
		{&command.LeaveLine{Header: h, Proof: p}, "7a00" + "2e" + head + packedProof},
		{&command.JoinReturns{Header: h, Proof: p, Section: 0x0506, Tier: 7, Count: 8}, "7e00" + "2f" + head + packedProof + "0605" + "07" + "08"},
		{&command.LeaveReturns{Header: h, Buyer: holdfast.BuyerID{0xB0, 15: 0xB1}}, "2500" + "30" + head + "b00000000000000000000000000000b1"},
	} {
		if got := hex.EncodeToString(c.cmd.Append(nil)); got != c.want {
			t.Errorf("%T changed its form:\n got %s\nwant %s", c.cmd, got, c.want)
		}
	}
	l := command.LineRules{Enabled: true, OpensMs: 1, DrawMs: 2, SaleMs: 3, CeilingMax: 4, RateMax: 5, SessionMs: 6, IdleMs: 7, CallMs: 8, OfferMs: 9,
		Who: command.ByAccount, Challenge: command.ChallengeWork, WorkBits: 10, FallbackMs: 11,
		Beacon: holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: thirtyTwo(0xFF), GenesisMs: 12, PeriodMs: 1000, Round: 14}}
	s := command.EventSpec{Name: "a", Currency: "eur", Tiers: []command.Tier{{Name: "t"}}, Sections: []command.Section{{Name: "s", Places: 1}}}
	bare := s.Append(nil)
	s.Line = l
	const want = "01" + "6c00" + "0100000000000000" + "0200000000000000" + "0300000000000000" + "04000000" + "05000000" + "06000000" + "07000000" +
		"08000000" + "09000000" + "0b000000" + "02" + "01" + "0a" + "01"
	got := s.Append(nil)
	if !bytes.HasPrefix(got, bare) {
		t.Fatal("a block changes what stands before it")
	}
	if block := hex.EncodeToString(got[len(bare):]); block != want+rep("ff", 32)+"0c00000000000000"+"e8030000"+"0e00000000000000" {
		t.Errorf("the block of the line changed its form:\n got %s", block)
	}
	back, err := command.DecodeSpec(got)
	if err != nil || !reflect.DeepEqual(back.Line, l) {
		t.Errorf("%+v: %v", back.Line, err)
	}
}

func TestLineCommandsRefuseWhatIsSenseless(t *testing.T) {
	var d command.Decoder
	for _, c := range []struct {
		field string
		c     command.Command
	}{
		{"secret", &command.OpenLine{}},
		{"count", &command.Enter{}},
		{"count", &command.Enter{Count: holdfast.EnterPlacesMax + 1}},
		{"", &command.Enter{Count: holdfast.EnterPlacesMax}},
		{"round", &command.Draw{Beacon: holdfast.BeaconRound{Signature: [64]byte{1}}}},
		{"path", &command.Redeem{Proof: command.Proof{Path: make([][32]byte, holdfast.PathMax+1)}}},
		{"", &command.Redeem{Proof: command.Proof{Path: make([][32]byte, holdfast.PathMax)}}},
		{"path", &command.LeaveLine{Proof: command.Proof{Path: make([][32]byte, holdfast.PathMax+1)}}},
		{"path", &command.JoinReturns{Proof: command.Proof{Path: make([][32]byte, holdfast.PathMax+1)}, Count: 1}},
		{"count", &command.JoinReturns{}},
		{"count", &command.JoinReturns{Count: holdfast.UnitsPerHoldMax + 1}},
		{"change", &command.SetLine{}},
		{"change", &command.SetLine{Change: command.LineClose + 1}},
		{"value", &command.SetLine{Change: command.LinePause, Value: 1}},
		{"", &command.SetLine{Change: command.LineCeiling, Value: 1}},
	} {
		_, err := d.CheckBatch(c.c.Append(nil))
		if c.field == "" && err != nil || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("%T: field %q wanted: %v", c.c, c.field, err)
		}
	}
}

func TestLineRulesNameTheFieldAtFault(t *testing.T) {
	for _, c := range []struct {
		field  string // empty: valid
		change func(l *command.LineRules)
	}{
		{"", func(l *command.LineRules) {}},
		{"", func(l *command.LineRules) { *l = command.LineRules{} }},
		{"line", func(l *command.LineRules) { l.Enabled = false }},
		{"line.opens", func(l *command.LineRules) { l.OpensMs = -1 }},
		{"line.draw", func(l *command.LineRules) { l.DrawMs = l.OpensMs - 1 }},
		{"line.sale", func(l *command.LineRules) { l.SaleMs = l.DrawMs - 1 }},
		{"", func(l *command.LineRules) { l.OpensMs, l.DrawMs = 0, 0 }},
		{"line.ceiling", func(l *command.LineRules) { l.CeilingMax = command.CeilingMax + 1 }},
		{"line.rate", func(l *command.LineRules) { l.RateMax = command.RateMax + 1 }},
		{"line.session", func(l *command.LineRules) { l.SessionMs = command.TimeMsMax + 1 }},
		{"line.idle", func(l *command.LineRules) { l.IdleMs = command.TimeMsMax + 1 }},
		{"line.call", func(l *command.LineRules) { l.CallMs = command.TimeMsMax + 1 }},
		{"line.offer", func(l *command.LineRules) { l.OfferMs = command.TimeMsMax + 1 }},
		{"line.fallback", func(l *command.LineRules) { l.FallbackMs = command.TimeMsMax + 1 }},
		{"line.who", func(l *command.LineRules) { l.Who = 4 }},
		{"line.challenge", func(l *command.LineRules) { l.Challenge = 3 }},
		{"line.work_bits", func(l *command.LineRules) { l.WorkBits = 1 }},
		{"line.work_bits", func(l *command.LineRules) { l.Challenge = command.ChallengeWork }},
		{"line.work_bits", func(l *command.LineRules) { l.Challenge, l.WorkBits = command.ChallengeWork, 33 }},
		{"line.beacon", func(l *command.LineRules) { l.Beacon.Kind = 2 }},
		{"line.beacon", func(l *command.LineRules) { l.Beacon.Kind = holdfast.BeaconNone }},
		{"line.beacon", func(l *command.LineRules) { l.Beacon = holdfast.Beacon{}; l.FallbackMs = 1 }},
		{"line.beacon.key", func(l *command.LineRules) { l.Beacon.PublicKey = [32]byte{} }},
		{"line.beacon.genesis", func(l *command.LineRules) { l.Beacon.GenesisMs = 0 }},
		{"line.beacon.period", func(l *command.LineRules) { l.Beacon.PeriodMs = command.PeriodMsMin - 1 }},
		{"line.beacon.round", func(l *command.LineRules) { l.Beacon.Round = command.RoundMax + 1 }},
		{"line.beacon.round", func(l *command.LineRules) { l.Beacon.Round = 2 }}, // comes at 2,000: the cut-off itself
		{"", func(l *command.LineRules) { l.Beacon.Round = 3 }},
	} {
		s := command.EventSpec{Name: "gala", Currency: "eur", Tiers: []command.Tier{{Name: "t"}}, Sections: []command.Section{{Name: "s", Places: 1}}}
		s.Line = command.LineRules{Enabled: true, OpensMs: 1000, DrawMs: 2000, SaleMs: 3000,
			Beacon: holdfast.Beacon{Kind: holdfast.BeaconChain, PublicKey: [32]byte{1}, GenesisMs: 1000, PeriodMs: 1000}}
		c.change(&s.Line)
		err := s.Validate()
		if c.field == "" && err != nil || c.field != "" && fieldOf(err) != c.field {
			t.Errorf("field %q wanted: %v", c.field, err)
		}
		if !s.Line.Enabled || s.Line.Beacon.Kind == holdfast.BeaconNone {
			continue // what is not there is not packed
		}
		if _, decoded := command.DecodeSpec(s.Append(nil)); (decoded == nil) != (err == nil) {
			t.Errorf("Validate says %v, DecodeSpec %v", err, decoded)
		}
	}
}

// TestBlocksStandInOrderAndOnce: a description has one form, and what this version does not know it refuses.
func TestBlocksStandInOrderAndOnce(t *testing.T) {
	s := command.EventSpec{Name: "a", Currency: "eur", Tiers: []command.Tier{{Name: "t"}}, Sections: []command.Section{{Name: "s", Places: 1}}}
	bare := s.Append(nil)
	s.Line.Enabled = true
	whole := s.Append(nil)
	block := whole[len(bare):]
	longer := append([]byte{}, whole...)
	longer[len(bare)+1]++
	for name, b := range map[string][]byte{
		"twice": append(append([]byte{}, whole...), block...), "tag 0": append(append([]byte{}, bare...), 0, 0, 0),
		"an unknown tag": append(append([]byte{}, bare...), 250, 0, 0), "cut off": whole[:len(whole)-1], "longer than it says": append(longer, 0),
	} {
		if _, err := command.DecodeSpec(b); fieldOf(err) != "body" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLineRulesHaveDefaults(t *testing.T) {
	if got := (command.LineRules{}).WithDefaults(); got != (command.LineRules{}) {
		t.Errorf("no line has the rules %+v", got)
	}
	want := command.LineRules{Enabled: true, CeilingMax: 2000, SessionMs: 900_000, IdleMs: 240_000, CallMs: 120_000, OfferMs: 600_000, FallbackMs: 600_000}
	if got := (command.LineRules{Enabled: true}).WithDefaults(); got != want {
		t.Errorf("%+v", got)
	}
}

// TestSameDrawSeesEveryPromise: what the opening of a line commits to cannot change unseen.
func TestSameDrawSeesEveryPromise(t *testing.T) {
	l := command.LineRules{Enabled: true}
	for _, change := range []func(*command.LineRules){
		func(l *command.LineRules) { l.Enabled = false }, func(l *command.LineRules) { l.OpensMs++ }, func(l *command.LineRules) { l.DrawMs++ },
		func(l *command.LineRules) { l.Beacon.Round++ }, func(l *command.LineRules) { l.FallbackMs++ }, func(l *command.LineRules) { l.Who++ },
	} {
		other := l
		change(&other)
		if l.SameDraw(&other) {
			t.Errorf("%+v is taken for the same draw", other)
		}
	}
	other := l
	other.CeilingMax, other.SaleMs, other.RateMax = 1, 2, 3
	if !l.SameDraw(&other) {
		t.Error("how fast people are called has nothing to do with their order")
	}
}

func TestASecretDoesNotPrint(t *testing.T) {
	c := command.OpenLine{Secret: holdfast.LineSecret{0xAB, 0xCD}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := strings.ToLower(fmt.Sprintf(verb, c)); strings.Contains(s, "ab") && strings.Contains(s, "171") || strings.Contains(s, "abcd") || strings.Contains(s, "0xab") || strings.Contains(s, "171") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}
