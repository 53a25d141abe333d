package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc"
)

func (a *app) nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "Run a member of a cluster"}
	c.AddCommand(a.nodeRun())
	return c
}

// ordersPerSecondDefault is about what Stripe's default limits allow.
const ordersPerSecondDefault = 25

// nodeFlags are node.Config as flags, and where clients are served.
type nodeFlags struct {
	node.Config
	listenClient string
	logFormat    string
	logLevel     slog.Level
}

func (a *app) nodeRun() *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use:   "run --name NAME --data-dir DIR --listen-raft ADDRESS --peers LIST",
		Short: "Run a member until it is told to stop",
		Long: `Run a member until it is told to stop. Members that are given the same --peers and --bootstrap-expect find each other
and form a cluster when all of them have answered and none has data. A member that starts again with its data directory
goes on where it was; one with an empty directory is a new member.`,
		Example: `  holdfast node run --name n1 --data-dir /var/lib/holdfast --listen-raft 127.0.0.1:7301 --listen-client 127.0.0.1:7401 \
      --peers 127.0.0.1:7301,127.0.0.1:7302,127.0.0.1:7303 --bootstrap-expect 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd, a.err, f.logFormat, f.logLevel)
			if err != nil {
				return err
			}
			f.Logger, f.Version = log, buildVersion()
			return runNode(cmd.Context(), f)
		},
	}
	host, _ := os.Hostname() // a name that cannot be had is refused by name like an empty one
	c.Flags().StringVar(&f.Name, "name", host, "the member's name: a-z, 0-9, - and .")
	c.Flags().StringVar(&f.Dir, "data-dir", "", "where everything is kept that must survive the process")
	c.Flags().StringVar(&f.RaftAddress, "listen-raft", "127.0.0.1:7300", "where to listen for other members, and what they are told")
	c.Flags().StringVar(&f.listenClient, "listen-client", endpointDefault, "where to listen for clients; plain text, so loopback only")
	c.Flags().StringSliceVar(&f.Peers, "peers", nil, "the Raft addresses of all members")
	c.Flags().IntVar(&f.BootstrapExpect, "bootstrap-expect", 0, "how many members form a new cluster; 0 joins one that exists")
	c.Flags().IntVar(&f.Shards, "shards", 1, "how many shards the cluster has, the same on all members")
	c.Flags().Float64Var(&f.OrdersPerSecond, "orders-per-second", ordersPerSecondDefault, "how many orders the payment provider takes: waiting lines are paced by it; 0: no bound")
	c.Flags().IntVar(&f.SnapshotEntries, "snapshot-entries", 0, "")
	_ = c.Flags().MarkHidden("snapshot-entries") // for benchmarks: operators have no reason to change it
	c.Flags().StringVar(&f.logFormat, "log-format", "text", "text or json, on stderr")
	c.Flags().TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return c
}

func newLogger(cmd *cobra.Command, w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usage(cmd, "--log-format is text or json, not %q", format)
}

// runNode runs a member until ctx ends. It stops in the order in which it depends: first nobody asks any more, then
// nothing is written any more.
func runNode(ctx context.Context, f nodeFlags) (err error) {
	listener, err := net.Listen("tcp", f.listenClient)
	if err != nil {
		return fmt.Errorf("clients cannot be served: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(listener.Close())) }()
	f.ClientAddress = listener.Addr().String()
	if err := seams(&f.Config); err != nil {
		return err
	}
	n, err := node.New(f.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	server, err := rpc.New(rpc.Config{Node: n, Listener: listener, Logger: f.Logger})
	if err != nil {
		return err
	}
	if err := n.Open(ctx); err != nil {
		return err
	}
	served := make(chan error, 1) // the server's one word when it ends
	go func() { served <- server.Serve() }()
	select {
	case <-ctx.Done():
		f.Logger.Info("told to stop")
		return errors.Join(server.Close(), <-served)
	case err := <-n.Failed():
		// Nothing that is said after a doubt about the disk can be believed: end, and let a restart look again.
		return errors.Join(err, server.Close(), <-served)
	case err := <-served:
		return errors.Join(err, server.Close())
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
