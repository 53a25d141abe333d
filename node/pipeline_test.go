package node_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/node/sim"
)

// The library stops reading answers at the first refusal, and may by then be about to send again. That send must fail
// instead of waiting for ever: see pipeline.go.
func TestAPipelineEndsWithARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.NewNetwork(1)
		leader, follower := newMember(t, network, "n1"), newMember(t, network, "n2")
		leader.start()
		follower.start()
		defer leader.stop()
		defer follower.stop()
		hears := follower.mux.Transport(1)
		defer hears.Close()
		go func() { // refuses everything
			for rpc := range hears.Consumer() {
				rpc.Respond(&raft.AppendEntriesResponse{Term: 1}, nil)
				if rpc.Command.(*raft.AppendEntriesRequest).Term == 9 {
					return
				}
			}
		}()
		speaks := leader.mux.Transport(1)
		defer speaks.Close()
		pipeline, err := speaks.AppendEntriesPipeline(follower.id(), raft.ServerAddress(follower.address()))
		must(t, err)

		stopped := make(chan struct{})
		go func() { // reads answers as the library does
			defer close(stopped)
			for answer := range pipeline.Consumer() {
				if !answer.Response().Success {
					return
				}
			}
		}()
		sent := make(chan error)
		go func() {
			for {
				if _, err := pipeline.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{}); err != nil {
					sent <- err
					return
				}
			}
		}()
		select {
		case <-sent:
		case <-time.After(time.Minute):
			t.Error("a send waits for ever")
		}
		<-stopped
		must(t, pipeline.Close())
		must(t, speaks.AppendEntries(follower.id(), raft.ServerAddress(follower.address()), &raft.AppendEntriesRequest{Term: 9}, &raft.AppendEntriesResponse{}))
	})
}
