package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestTheLibraryLogsThroughOurs(t *testing.T) {
	var out bytes.Buffer
	log := newRaftLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})).With("shard", 3))
	log.Trace("too fine")
	log.Debug("too fine")
	log.With("peer", "n2").Named("replication").Warn("slow", "ms", 7)
	log.Log(hclog.Error, "worse")
	log.StandardLogger(nil).Print("plain")
	got := out.String()
	for _, want := range []string{`level=WARN msg=slow shard=3 peer=n2 ms=7`, `level=ERROR msg=worse shard=3`, `msg=plain shard=3`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "too fine") {
		t.Errorf("more than was asked for:\n%s", got)
	}
	if log.IsTrace() || log.IsDebug() || !log.IsInfo() || !log.IsWarn() || !log.IsError() || log.GetLevel() != hclog.Info {
		t.Errorf("the level is %v", log.GetLevel())
	}
	if name := log.Named("a").ResetNamed("b").Name(); name != "b" {
		t.Errorf("the name is %q", name)
	}
}
