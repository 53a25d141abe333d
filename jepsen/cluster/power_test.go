//go:build linux

package cluster

import (
	"errors"
	"testing"

	"github.com/holdfast-db/holdfast/jepsen/lossy"
)

// Power that cannot be cut is told, and never counts as survived.
func TestPowerIsNotCutWhereItCannotBe(t *testing.T) {
	if err := (&Cluster{disks: &disks{}}).CanCutPower(); err == nil || err.Error() != "needs --disk lossy" {
		t.Errorf("on other disks: %v", err)
	}
	if err := (&Cluster{disks: &disks{noPower: lossy.ErrNotHere}}).CanCutPower(); !errors.Is(err, lossy.ErrNotHere) {
		t.Errorf("without FUSE: %v", err)
	}
}
