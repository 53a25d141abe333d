package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-db/holdfast"
)

// Every connection between nodes begins with a preamble, which is answered with one byte before anything else:
//
//	magic [4] | version uint8 | purpose uint8 | shard uint32 | target length uint8 | target | source length uint8 | source
//
// target is the id that the connection is meant for. Raft addresses a server by its place, so without this a voter
// that came back without its data, as another server at the same place, would vote and acknowledge in the name of
// the one that it was.
type preamble struct {
	purpose purpose
	shard   holdfast.ShardID
	target  string // empty when it does not matter
	source  string
}

type purpose uint8

const (
	purposeRaft    purpose = 1
	purposeHello   purpose = 2
	purposePersons purpose = 3 // a question about keyrings
)

const (
	preambleMagic   = "HFN1"
	preambleVersion = 1
)

func (p preamble) append(b []byte) []byte {
	b = append(b, preambleMagic...)
	b = append(b, preambleVersion, byte(p.purpose))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.shard))
	b = append(append(b, byte(len(p.target))), p.target...)
	return append(append(b, byte(len(p.source))), p.source...)
}

// readPreamble reads not one byte more than the preamble: what follows is the library's.
func readPreamble(r io.Reader) (p preamble, err error) {
	var fixed [10]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return p, err
	}
	if string(fixed[:4]) != preambleMagic || fixed[4] != preambleVersion {
		return p, fmt.Errorf("%q is not how a node of this version begins", fixed[:5])
	}
	p.purpose, p.shard = purpose(fixed[5]), holdfast.ShardID(binary.LittleEndian.Uint32(fixed[6:]))
	for _, s := range []*string{&p.target, &p.source} {
		var length [1]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return p, err
		}
		text := make([]byte, length[0])
		if _, err := io.ReadFull(r, text); err != nil {
			return p, err
		}
		*s = string(text)
	}
	return p, nil
}

// greeting is the answer to a preamble.
type greeting byte

const (
	greetWelcome greeting = 1
	greetOther   greeting = 2
	greetNoShard greeting = 3
)

var (
	// errOtherNode: the server that was meant is gone from there, data and all.
	errOtherNode = errors.New("another node lives at this address now")
	errNoShard   = errors.New("the node does not serve this shard: it is starting, or the shard has halted")
)

// err is nil for a welcome.
func (g greeting) err() error {
	switch g {
	case greetWelcome:
		return nil
	case greetOther:
		return errOtherNode
	case greetNoShard:
		return errNoShard
	}
	return fmt.Errorf("answered %d to the preamble", g)
}
