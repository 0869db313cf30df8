package auditlog

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// SubtreeHeight is the height of the subtrees whose hashes a log keeps: those of
// 256 leaves, of 256 times 256, and so on.
const SubtreeHeight = 8

// Tree is a growing RFC 6962 tree of which only the right edge is kept: the roots
// of its complete subtrees, largest first.
type Tree struct {
	size  int64
	edges []tlog.Hash
	// Complete, if set, is told of each complete subtree of 256^level leaves: it is
	// the n-th of its level, from 0.
	Complete func(level, n int64, root tlog.Hash)
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Append adds a leaf.
func (t *Tree) Append(leaf tlog.Hash) { t.AppendSubtree(0, leaf) }

// AppendSubtree adds a complete subtree of 256^level leaves, where one begins.
func (t *Tree) AppendSubtree(level int64, root tlog.Hash) {
	height := level * SubtreeHeight
	before := t.size >> height
	t.size += 1 << height
	for ; before&1 == 1; before >>= 1 {
		last := len(t.edges) - 1
		root = tlog.NodeHash(t.edges[last], root)
		t.edges = t.edges[:last]
		height++
		if t.Complete != nil && height%SubtreeHeight == 0 {
			t.Complete(height/SubtreeHeight, t.size>>height-1, root)
		}
	}
	t.edges = append(t.edges, root)
}

// Root is the head of the tree as it is now.
func (t *Tree) Root() tlog.Hash {
	if len(t.edges) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.edges[len(t.edges)-1]
	for i := len(t.edges) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edges[i], root)
	}
	return root
}
