package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast"
)

func (a *app) clusterTransfer() *cobra.Command {
	var shard uint16
	var to string
	c := &cobra.Command{
		Use:   "transfer --shard N --to NAME",
		Short: "Hand leadership of a shard to another member",
		Long: `Hand leadership of a shard to another of its members, which must vote and answer. Nothing is lost: claims wait for some
milliseconds. Leaders are spread over the members by themselves, so that the shard goes back to the member that it prefers
after ten seconds, if that one is well: to keep a member from leading, stop it. Shard 0 is the directory.`,
		Example: `  holdfast cluster transfer --shard 1 --to n2
  holdfast cluster transfer --shard 0 --to n3 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []string{"shard", "to"} {
				if !cmd.Flags().Changed(flag) {
					return usage(cmd, "--%s must be given", flag)
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			began := time.Now()
			if err := c.Transfer(cmd.Context(), holdfast.ShardID(shard), to); err != nil {
				return err
			}
			return a.print(transferOut{Shard: holdfast.ShardID(shard), Leader: to, TookMs: time.Since(began).Milliseconds()})
		},
	}
	c.Flags().Uint16Var(&shard, "shard", 0, "the shard; 0: the directory")
	c.Flags().StringVar(&to, "to", "", "the `name` of the member that is to lead")
	return c
}

type transferOut struct {
	Shard  holdfast.ShardID `json:"shard"`
	Leader string           `json:"leader"`
	TookMs int64            `json:"took_ms"`
}

func (o transferOut) table(w io.Writer) {
	fmt.Fprintf(w, "%s leads shard %s, after %d ms\n", o.Leader, o.Shard, o.TookMs)
}
