package frontend

import "github.com/holdfast-db/holdfast/fsm/draw"

// tree is the Merkle tree of one block, kept so that each of a thousand joiners gets the path without the whole tree
// being hashed again. It is the tree of package draw, level by level: a node without a neighbour is that of the level
// above.
type tree struct{ levels [][]draw.Hash }

func newTree(leaves []draw.Hash) *tree {
	t := &tree{levels: [][]draw.Hash{leaves}}
	for level := leaves; len(level) > 1; {
		above := make([]draw.Hash, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			above = append(above, draw.Root(level[i:i+2]))
		}
		if len(level)%2 == 1 {
			above = append(above, level[len(level)-1])
		}
		t.levels = append(t.levels, above)
		level = above
	}
	return t
}

func (t *tree) root() draw.Hash { return t.levels[len(t.levels)-1][0] }

// path gives the hashes that lead from a leaf to the root.
func (t *tree) path(index int) []draw.Hash {
	var path []draw.Hash
	for _, level := range t.levels[:len(t.levels)-1] {
		if neighbour := index ^ 1; neighbour < len(level) {
			path = append(path, level[neighbour])
		}
		index /= 2
	}
	return path
}
