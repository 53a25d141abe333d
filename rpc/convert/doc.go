// Package convert turns what a shard holds and decides into messages of rpc/api, and failures into statuses. It is
// shared by the servers of package rpc, which stand before a replicated shard, and those of client/clienttest, which
// stand before one in memory, so that both say the same in the same way. It has no state.
package convert
