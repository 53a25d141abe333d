package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// The library saves a vote in two writes: its term, then the candidate. After a crash between them the node has
// voted, as far as it knows, in that term for the candidate of an older one, and grants that candidate the vote
// without looking at its log (hashicorp/raft#661). stableStore holds the term back until the candidate comes and
// saves both as one value, so in one transaction. Nothing is answered in between, so nothing is lost by waiting.
type stableStore struct {
	under RaftStore
	log   *logStore // latches and counts

	// votedTerm is the held-back term of a vote whose candidate has not come yet. The library writes votes from
	// one goroutine.
	votedTerm uint64
	voting    bool
}

// The library's keys for a vote, and ours.
const (
	keyVotedTerm      = "LastVoteTerm"
	keyVotedCandidate = "LastVoteCand"
)

var keyVote = []byte("Vote") // term uint64 big-endian, candidate

func (s *stableStore) Set(key, value []byte) error {
	if string(key) != keyVotedCandidate {
		return s.set(key, value)
	}
	if !s.voting {
		return s.log.latch.fail(errors.New("save vote: a candidate without a term"))
	}
	s.voting = false
	return s.set(keyVote, append(binary.BigEndian.AppendUint64(nil, s.votedTerm), value...))
}

func (s *stableStore) SetUint64(key []byte, value uint64) error {
	if string(key) == keyVotedTerm {
		s.votedTerm, s.voting = value, true
		return s.log.latch.failed()
	}
	return s.log.change("save "+string(key), func() error { return s.under.SetUint64(key, value) })
}

func (s *stableStore) set(key, value []byte) error {
	return s.log.change("save "+string(key), func() error { return s.under.Set(key, value) })
}

func (s *stableStore) Get(key []byte) ([]byte, error) {
	if string(key) == keyVotedCandidate {
		_, candidate, err := s.vote()
		return candidate, err
	}
	var value []byte
	err := s.read(func() (err error) { value, err = s.under.Get(key); return err })
	return value, err
}

func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	if string(key) == keyVotedTerm {
		term, _, err := s.vote()
		return term, err
	}
	var value uint64
	err := s.read(func() (err error) { value, err = s.under.GetUint64(key); return err })
	return value, err
}

// vote is the last vote that was saved whole.
func (s *stableStore) vote() (term uint64, candidate []byte, err error) {
	var value []byte
	err = s.read(func() (err error) { value, err = s.under.Get(keyVote); return err })
	if err != nil {
		return 0, nil, err
	}
	if len(value) < 8 {
		return 0, nil, s.log.latch.fail(fmt.Errorf("read vote: %d bytes", len(value)))
	}
	return binary.BigEndian.Uint64(value), value[8:], nil
}

// read latches every error but that the key was never set.
func (s *stableStore) read(f func() error) error {
	if err := s.log.latch.failed(); err != nil {
		return err
	}
	if err := f(); err != nil && !isNotFound(err) {
		return s.log.latch.fail(err)
	} else {
		return err
	}
}

// ender is the stable store as Raft sees it. The library panics when it cannot save its term or its vote, and the process would
// end with a stack instead of a reason, whatever else it was doing. Here the goroutine ends that wanted to save: Raft's loop, or one
// of its transport; both clean up behind them when they end so. Nothing is acknowledged after that, and the latch has the node stop in
// order.
type ender struct {
	raft.StableStore
	opened *atomic.Bool // while Raft is being opened its panics are caught: see group.start
}

func (e ender) Set(key, value []byte) error { return e.end(e.StableStore.Set(key, value)) }
func (e ender) SetUint64(key []byte, value uint64) error {
	return e.end(e.StableStore.SetUint64(key, value))
}

func (e ender) end(err error) error {
	if err != nil && e.opened.Load() {
		runtime.Goexit()
	}
	return err
}
