package node

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLog lets the library log through slog. What it calls Trace is Debug here.
type raftLog struct {
	*slog.Logger
	name string
}

// newRaftLog gives a logger for raft.Config and the transport; shard and the like are With-ed on log by the caller.
func newRaftLog(log *slog.Logger) hclog.Logger { return raftLog{Logger: log} }

var slogLevels = map[hclog.Level]slog.Level{
	hclog.Trace: slog.LevelDebug, hclog.Debug: slog.LevelDebug, hclog.Info: slog.LevelInfo, hclog.Warn: slog.LevelWarn, hclog.Error: slog.LevelError,
}

func (l raftLog) Log(level hclog.Level, msg string, args ...any) {
	l.Logger.Log(context.Background(), slogLevels[level], msg, args...)
}
func (l raftLog) Trace(msg string, args ...any) { l.Logger.Debug(msg, args...) }

func (l raftLog) enabled(level slog.Level) bool {
	return l.Logger.Enabled(context.Background(), level)
}
func (l raftLog) IsTrace() bool { return false }
func (l raftLog) IsDebug() bool { return l.enabled(slog.LevelDebug) }
func (l raftLog) IsInfo() bool  { return l.enabled(slog.LevelInfo) }
func (l raftLog) IsWarn() bool  { return l.enabled(slog.LevelWarn) }
func (l raftLog) IsError() bool { return l.enabled(slog.LevelError) }

func (l raftLog) ImpliedArgs() []any             { return nil }
func (l raftLog) With(args ...any) hclog.Logger  { return raftLog{l.Logger.With(args...), l.name} }
func (l raftLog) Name() string                   { return l.name }
func (l raftLog) Named(name string) hclog.Logger { return raftLog{l.Logger, name} }
func (l raftLog) ResetNamed(name string) hclog.Logger {
	return raftLog{l.Logger, name}
}

// SetLevel does nothing: the handler decides.
func (l raftLog) SetLevel(hclog.Level) {}

func (l raftLog) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if l.enabled(slogLevels[level]) {
			return level
		}
	}
	return hclog.Off
}

func (l raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.Handler(), slog.LevelInfo)
}

func (l raftLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(nil).Writer()
}
