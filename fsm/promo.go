package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Uses of promotion codes are counted in the same command that promises them, so that no code is used more often than
// it may be. A use is counted for a payment from its beginning; it is given back when the attempt ends without an
// order, and stays with the order: a refund does not bring a code back.

// promoRecord is a code of an event that is in use.
type promoRecord struct {
	Code  holdfast.PromoCode
	Uses  uint32
	Event uint16 // place in events
	_     [2]uint8
}

func (m *Machine) findPromo(event uint16, code holdfast.PromoCode) uint32 {
	return m.byPromo.find(m.hashPromo(event, code), func(slot uint32) bool {
		p := m.state.promos.at(slot)
		return p.Code == code && p.Event == event
	})
}

func (m *Machine) hashPromo(event uint16, code holdfast.PromoCode) uint64 {
	return hash16(m.seed+uint64(event), code)
}

// promoUses gives how often a code is in use.
func (m *Machine) promoUses(event uint16, code holdfast.PromoCode) uint32 {
	if slot := m.findPromo(event, code); slot != 0 {
		return m.state.promos.at(slot).Uses
	}
	return 0
}

// mayUse says whether a code may be used once more. mine tells that the caller gives back a use of the same code.
func (m *Machine) mayUse(e *event, p *command.Promo, mine bool) bool {
	uses := m.promoUses(e.place, p.Code)
	if mine {
		uses--
	}
	return p.UsesMax == 0 || uses < p.UsesMax
}

// count counts a use of a payment's code, if it has one.
func (m *Machine) count(payment uint32) {
	p := m.state.payments.at(payment)
	if p.Counted || p.Promo == (holdfast.PromoCode{}) {
		return
	}
	slot := m.findPromo(p.Event, p.Promo)
	if slot == 0 {
		slot = m.state.promos.add(promoRecord{Code: p.Promo, Event: p.Event})
		m.byPromo.add(m.hashPromo(p.Event, p.Promo), slot)
	}
	m.state.promos.edit(slot).Uses++
	m.state.payments.edit(payment).Counted = true
}

// uncount gives the use back.
func (m *Machine) uncount(payment uint32) {
	p := *m.state.payments.at(payment)
	if !p.Counted {
		return
	}
	m.state.payments.edit(payment).Counted = false
	m.giveBackUse(p.Event, p.Promo)
}

func (m *Machine) giveBackUse(event uint16, code holdfast.PromoCode) {
	slot := m.findPromo(event, code)
	if m.state.promos.edit(slot).Uses--; m.state.promos.at(slot).Uses == 0 {
		m.byPromo.drop(m.hashPromo(event, code), slot)
		m.state.promos.drop(slot)
	}
}
