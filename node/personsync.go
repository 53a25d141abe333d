package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// Members teach each other what they know of keyrings: each asks the others in turn, and tells the digests of its
// buckets; the other answers with what it has in buckets that differ. Since both sets only grow, members that can reach
// each other end up equal, and one that was away learns on its return who was forgotten.
//
//	question:  from uint16 | digests [1024] uint64
//	answer:    next uint16 | more uint8 | forgotten uint32 | keys uint32 | holds | keys
const (
	lessonsEvery = 5                      // times Timing.Hello: between rounds in which there is nothing to learn
	lessonPause  = 100 * time.Millisecond // between rounds as long as there is
	lessonMax    = 10 * time.Second       // for one question and its answer

	questionBytes   = 2 + buckets*8
	answerHeadBytes = 2 + 1 + 4 + 4
	// lessonBelieved bounds what is believed of an answer: a bucket of the largest keyring is a quarter of it.
	lessonBelieved = 4 * lessonRecords
)

// learn is the goroutine that asks the other members.
func (p *persons) learn(life context.Context, n *Node) {
	from := map[string]uint16{} // by address: at which bucket to go on
	for pause := lessonPause; ; {
		select {
		case <-life.Done():
			return
		case <-time.After(pause):
		}
		pause = lessonsEvery * n.cfg.Timing.Hello
		for _, peer := range n.peers.All() {
			id := n.storage.Identity()
			if !peer.Known || peer.ID == id.ID || peer.Cluster == "" || peer.Cluster != id.Cluster || life.Err() != nil {
				continue
			}
			next, more, err := p.learnFrom(life, n.mux, peer, from[peer.Address])
			from[peer.Address] = next
			if err != nil {
				p.log.Debug("a member did not teach its keyring", "peer", peer.ID, "error", err)
			} else if more {
				pause = lessonPause
			}
		}
	}
}

// learnFrom takes in one lesson. more says that there is more to learn.
func (p *persons) learnFrom(life context.Context, m *mux, peer Peer, from uint16) (next uint16, more bool, err error) {
	conn, err := m.dial(peer.Address, preamble{purpose: purposePersons, target: peer.ID, source: m.cfg.ID}, m.cfg.Timing.RPC)
	if err != nil {
		return from, false, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(lessonMax))
	mine := p.ring.sums()
	question := binary.LittleEndian.AppendUint16(make([]byte, 0, questionBytes), from)
	for _, sum := range mine {
		question = binary.LittleEndian.AppendUint64(question, sum)
	}
	if _, err := conn.Write(question); err != nil {
		return from, false, err
	}
	l, err := readLesson(bufio.NewReader(conn))
	if err != nil {
		return from, false, err
	}
	if len(l.forgotten)+len(l.keys) > 0 {
		if err := p.do(life, personsWork{forget: l.forgotten, taught: l.keys}); err != nil {
			return from, false, err
		}
	}
	return l.next, l.more, nil
}

func readLesson(r io.Reader) (l lesson, err error) {
	var head [answerHeadBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return l, err
	}
	l.next, l.more = binary.LittleEndian.Uint16(head[:])%buckets, head[2] != 0
	holds, keys := binary.LittleEndian.Uint32(head[3:]), binary.LittleEndian.Uint32(head[7:])
	if holds > lessonBelieved || keys > lessonBelieved {
		return l, errLessonLong
	}
	for range holds {
		var hold holdfast.HoldID
		if _, err := io.ReadFull(r, hold[:]); err != nil {
			return l, err
		}
		l.forgotten = append(l.forgotten, hold)
	}
	for range keys {
		var b [keyBytes]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return l, err
		}
		k := readKey(b[:])
		if k.Hold.IsZero() {
			return l, errors.New("a key without a hold")
		}
		l.keys = append(l.keys, k)
	}
	return l, nil
}

// teach answers a member's question on a connection that was greeted for it. It ends the connection.
func (n *Node) teach(conn net.Conn, source string) error {
	defer conn.Close()
	peers, cluster := n.others(), n.storage.Identity().Cluster
	if peers == nil || cluster == "" {
		return errors.New("the node is being opened")
	}
	if peer, ok := peers.ByID(raft.ServerID(source)); !ok || peer.Cluster != cluster {
		return fmt.Errorf("%q is not known as a member of this cluster", source)
	}
	conn.SetDeadline(time.Now().Add(lessonMax))
	question := make([]byte, questionBytes)
	if _, err := io.ReadFull(conn, question); err != nil {
		return err
	}
	var theirs digests
	for i := range theirs {
		theirs[i] = binary.LittleEndian.Uint64(question[2+8*i:])
	}
	return writeLesson(conn, n.persons.ring.teach(&theirs, binary.LittleEndian.Uint16(question)))
}

func writeLesson(w io.Writer, l lesson) error {
	out := binary.LittleEndian.AppendUint16(nil, l.next)
	more := byte(0)
	if l.more {
		more = 1
	}
	out = append(out, more)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(l.forgotten)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(l.keys)))
	for _, hold := range l.forgotten {
		out = append(out, hold[:]...)
	}
	for i := range l.keys {
		out = appendKey(out, &l.keys[i])
	}
	_, err := w.Write(out)
	return err
}
