package node

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline ends with the first answer after which the library reads no more of them. The library's own does not: a
// send that is on its way then waits for ever for its answer to be read, and with it the goroutine that replicates to
// that follower. Heartbeats go on, so nobody notices: the follower gets no entry any more as long as this node leads,
// and the group cannot be closed (hashicorp/raft#612 has the symptom).
type pipeline struct {
	raft.AppendPipeline
	silent  func() bool             // the transport's
	ack     func(raft.AppendFuture) // told of every answer
	answers chan raft.AppendFuture  // never closed
	closed  chan struct{}           // closed by Close
	once    sync.Once
}

func newPipeline(p raft.AppendPipeline, silent func() bool, ack func(raft.AppendFuture)) *pipeline {
	out := &pipeline{AppendPipeline: p, silent: silent, ack: ack, answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
	go out.forward()
	return out
}

// forward hands answers on until one of them is the last, or Close is called.
func (p *pipeline) forward() {
	for {
		select {
		case answer := <-p.AppendPipeline.Consumer():
			if answer.Error() == nil {
				p.ack(answer)
			}
			select {
			case p.answers <- answer:
			case <-p.closed:
				return
			}
			if r := answer.Response(); !r.Success || r.Term > answer.Request().Term {
				p.AppendPipeline.Close() // sends that wait fail now, and the library falls back to single requests
				return
			}
		case <-p.closed:
			return
		}
	}
}

func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.silent() {
		return nil, errSilent
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}

func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}
