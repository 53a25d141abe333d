package rpc_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-db/holdfast"
)

// The client finds the leader by itself, and the wire keeps the kinds.
func TestLeadershipIsMovedThroughAnyMember(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		for round := range 4 {
			to := round % 3
			if err := c.Transfer(t.Context(), 1, fmt.Sprintf("n%d", to+1)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			s.await("the member leads", func() bool { return s.nodes[to].Leads(1) })
		}
		if err := c.Transfer(t.Context(), 1, "nobody"); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("to nobody: %v", err)
		}
		if err := c.Transfer(t.Context(), 1, ""); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("without a name: %v", err)
		}
	})
}
