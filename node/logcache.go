package node

import (
	"sync"

	"github.com/hashicorp/raft"
)

// logCacheBytes bounds the entries that each shard keeps in memory besides the disk: enough for followers that are
// seconds behind. The library's own cache is bounded in entries, of which ours can be a quarter of a MiB each.
const logCacheBytes = 16 << 20

// logCache keeps the tail of a log in memory. What it holds is shared with Raft: entries are never written to.
type logCache struct {
	raft.LogStore

	mu    sync.RWMutex
	tail  []*raft.Log // without gaps, in order
	bytes int         // of their data
}

func newLogCache(under raft.LogStore) *logCache { return &logCache{LogStore: under} }

func (c *logCache) GetLog(index uint64, out *raft.Log) error {
	c.mu.RLock()
	if len(c.tail) > 0 && index >= c.tail[0].Index && index-c.tail[0].Index < uint64(len(c.tail)) {
		*out = *c.tail[index-c.tail[0].Index]
		c.mu.RUnlock()
		return nil
	}
	c.mu.RUnlock()
	return c.LogStore.GetLog(index, out)
}

func (c *logCache) StoreLog(entry *raft.Log) error { return c.StoreLogs([]*raft.Log{entry}) }

func (c *logCache) StoreLogs(entries []*raft.Log) error {
	if err := c.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if n := len(c.tail); n > 0 && e.Index != c.tail[n-1].Index+1 {
			c.tail, c.bytes = nil, 0
		}
		c.tail, c.bytes = append(c.tail, e), c.bytes+len(e.Data)
	}
	drop := 0
	for ; c.bytes > logCacheBytes; drop++ {
		c.bytes -= len(c.tail[drop].Data)
		c.tail[drop] = nil // the array lives on for a while; what it pointed to need not
	}
	c.tail = c.tail[drop:]
	return nil
}

func (c *logCache) DeleteRange(first, last uint64) error {
	c.mu.Lock()
	// Truncations of the head rarely reach the tail in memory; those of the tail are rare.
	if n := len(c.tail); n > 0 && last >= c.tail[0].Index && first <= c.tail[n-1].Index {
		c.tail, c.bytes = nil, 0
	}
	c.mu.Unlock()
	return c.LogStore.DeleteRange(first, last)
}
