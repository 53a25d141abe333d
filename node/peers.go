package node

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Peer is what is known of the node at one address.
type Peer struct {
	Hello                // its last answer; before the first one only Address is set
	Known  bool          // it has answered since we started
	Age    time.Duration // since its last answer
	Offset time.Duration // its wall clock minus ours, to within half of RTT
	RTT    time.Duration
}

// fresh is how many rounds of hello an answer counts for.
const fresh = 4

// peers knows the members by asking each once a second. It is safe for concurrent use.
type peers struct {
	self   func() Hello
	mux    *mux
	clock  Clock
	timing Timing
	log    *slog.Logger

	mu    sync.Mutex
	table map[string]*seen // by address, fixed keys

	stop    chan struct{} // closed by Close
	once    sync.Once
	running sync.WaitGroup // one goroutine for each address
}

// seen is a Peer with the instant of its last answer.
type seen struct {
	Peer
	at time.Duration // Monotonic
}

// newPeers begins to ask all addresses but our own.
func newPeers(self func() Hello, addresses []string, m *mux, clock Clock, timing Timing, log *slog.Logger) *peers {
	p := &peers{self: self, mux: m, clock: clock, timing: timing, log: log, table: map[string]*seen{}, stop: make(chan struct{})}
	p.mu.Lock() // an early answer waits until the table has everybody
	defer p.mu.Unlock()
	for _, address := range addresses {
		if address == self().Address {
			continue
		}
		p.table[address] = &seen{Peer: Peer{Hello: Hello{Address: address}}}
		p.running.Go(func() { p.ask(address) })
	}
	return p
}

// Close stops asking and waits, at most for one exchange.
func (p *peers) Close() error {
	p.once.Do(func() { close(p.stop) })
	p.running.Wait()
	return nil
}

// ask is the goroutine of one address.
func (p *peers) ask(address string) {
	pause := p.timing.Hello / 4 // until the first answer
	for {
		h, sent, rtt, err := p.mux.Hello(address, p.clock)
		if err == nil && h.Address != address {
			err = fmt.Errorf("the node there is %s and says that it is at %s", h.ID, h.Address)
		}
		if err != nil {
			p.log.Debug("a peer does not answer", "address", address, "error", err)
		} else {
			p.note(address, h, sent, rtt)
			pause = p.timing.Hello
		}
		timer := time.NewTimer(pause)
		select {
		case <-p.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (p *peers) note(address string, h Hello, sent time.Time, rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.table[address]
	if was.ID != h.ID || was.Cluster != h.Cluster {
		p.log.Info("met a peer", "address", address, "id", h.ID, "cluster", h.Cluster)
	}
	p.table[address] = &seen{at: p.clock.Monotonic(), Peer: Peer{Hello: h, Known: true, RTT: rtt, Offset: h.wall().Sub(sent.Add(rtt / 2))}}
}

// All is everybody: ourselves, then the peers by address.
func (p *peers) All() []Peer {
	all, now := []Peer{{Hello: p.self(), Known: true}}, p.clock.Monotonic()
	p.mu.Lock()
	defer p.mu.Unlock()
	var others []Peer
	for _, s := range p.table {
		peer := s.Peer
		if peer.Known {
			peer.Age = now - s.at
		}
		others = append(others, peer)
	}
	slices.SortFunc(others, func(a, b Peer) int { return strings.Compare(a.Address, b.Address) })
	return append(all, others...)
}

// Locate is where the server with that id was last met, or "".
func (p *peers) Locate(id raft.ServerID) string {
	peer, ok := p.ByID(id)
	if !ok {
		return ""
	}
	return peer.Address
}

// ByID finds who last said to be id. Every message to another node asks it.
func (p *peers) ByID(id raft.ServerID) (Peer, bool) {
	if peer := p.other(id); peer != nil {
		found := peer.Peer
		found.Age = p.clock.Monotonic() - peer.at
		return found, true
	}
	if self := p.self(); self.ID == string(id) {
		return Peer{Hello: self, Known: true}, true
	}
	return Peer{}, false
}

// other is who of the others last said to be id; of several the first by address. What is in the table is not changed,
// but replaced.
func (p *peers) other(id raft.ServerID) (found *seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.table {
		if s.Known && s.ID == string(id) && (found == nil || s.Address < found.Address) {
			found = s
		}
	}
	return found
}

// Skew is how far our wall clock is from the median of all members that answered lately, ourselves included: ahead
// when positive. With fewer than three one cannot tell whose clock is wrong, so that it is 0.
func (p *peers) Skew() time.Duration {
	var offsets []time.Duration
	for _, peer := range p.All() { // ourselves with an offset of 0
		if peer.Known && peer.Age < fresh*p.timing.Hello {
			offsets = append(offsets, peer.Offset)
		}
	}
	if len(offsets) < 3 {
		return 0
	}
	slices.Sort(offsets)
	return -(offsets[(len(offsets)-1)/2] + offsets[len(offsets)/2]) / 2
}

// Doubt is not nil when our wall clock is too far from the others'. A node in doubt must not lead: it would open
// sales early or late.
func (p *peers) Doubt() error {
	if skew := p.Skew(); skew.Abs() > p.timing.SkewMax {
		return fmt.Errorf("this node's wall clock is %v from the others': it does not stand for election", skew.Round(time.Millisecond))
	}
	return nil
}
