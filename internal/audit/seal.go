package audit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/mod/sumdb/tlog"

	"clinsource/internal/auditlog"
	"clinsource/internal/clock"
	"clinsource/internal/sqldb"
)

// sealAtOnce bounds the leaves that one checkpoint adds to a lane, and so the
// statements of its write.
const sealAtOnce = 1 << 16

// subtree is a complete one that a checkpoint adds.
type subtree struct {
	lane, level, n int64
	root           tlog.Hash
}

// sealSome makes the next checkpoint; more says that there is more to seal. What
// it reads it reads outside the write, which then only takes the next number: a
// replica that was faster has made the same checkpoint.
func (l *Log) sealSome(ctx context.Context) (more bool, err error) {
	last, lastNote, err := newestCheckpoint(ctx, l.db)
	if err != nil {
		return false, err
	}
	next := auditlog.Checkpoint{
		Service: l.service, Log: last.Log, Seq: last.Seq + 1, At: clock.Now(),
	}
	if lastNote == "" {
		next.Log = rand.Text()
	} else {
		next.Previous = auditlog.NoteHash(lastNote)
	}
	var grown []subtree
	changed, broken := false, map[int64]bool{}
	heads := map[int64]auditlog.Head{}
	for _, h := range last.Heads {
		heads[h.Lane] = h
	}
	all, err := allLanes(ctx, l.db, last.Heads)
	if err != nil {
		return false, err
	}
	for _, lane := range all {
		before := last.Head(lane)
		head, subtrees, err := extend(ctx, l.db, before)
		if errors.Is(err, errBroken) {
			logx.Errorw("a lane of the audit log does not lead to its signed head; run clinctl audit verify",
				logx.Field("db", l.service), logx.Field("lane", lane), logx.Field("cause", err.Error()))
			broken[lane] = true
			head, subtrees, err = before, nil, nil
		}
		if err != nil {
			return false, err
		}
		changed = changed || head.Size > before.Size
		more = more || head.Size-before.Size == sealAtOnce
		grown = append(grown, subtrees...)
		if head.Size > 0 {
			next.Heads = append(next.Heads, head)
		}
	}
	brokenLanes.WithLabelValues(l.service).Set(float64(len(broken)))
	l.broken = broken
	if !changed {
		return false, nil
	}
	first, err := l.keepCheckpoint(ctx, &next, grown)
	return more || !first, err
}

// keepCheckpoint stores it; first says whether no other process was faster.
func (l *Log) keepCheckpoint(ctx context.Context, c *auditlog.Checkpoint, grown []subtree) (first bool, err error) {
	signed, err := l.sign(c)
	if err != nil {
		return false, err
	}
	err = l.db.Write(ctx, func(tx *sqldb.Tx) error {
		first = false
		var newest int64
		if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(seq), 0) FROM audit_checkpoints`).Scan(&newest); err != nil || newest != c.Seq-1 {
			return err
		}
		for _, s := range grown {
			if _, err := tx.Exec(ctx, `INSERT INTO audit_subtrees (lane, level, n, hash) VALUES ($1, $2, $3, $4)`,
				s.lane, s.level, s.n, s.root.String()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO audit_checkpoints (seq, at_us, log, note) VALUES ($1, $2, $3, $4)`,
			c.Seq, c.At.UnixMicro(), c.Log, signed)
		first = err == nil
		return err
	}, sqldb.Key("audit checkpoint"))
	if err != nil {
		return false, err
	}
	return first, nil
}

// newestCheckpoint gives the newest and its note; a log without one has neither.
func newestCheckpoint(ctx context.Context, db *sqldb.DB) (c auditlog.Checkpoint, signed string, err error) {
	err = db.QueryRow(ctx, `SELECT note FROM audit_checkpoints ORDER BY seq DESC LIMIT 1`).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return c, "", nil
	}
	if err != nil {
		return c, "", err
	}
	c, err = auditlog.ReadCheckpoint(signed)
	return c, signed, err
}

// allLanes are the lanes that have rows, and those that had.
func allLanes(ctx context.Context, db *sqldb.DB, heads []auditlog.Head) (all []int64, err error) {
	for lane, err := range lanes(ctx, db) {
		if err != nil {
			return nil, err
		}
		for len(heads) > 0 && heads[0].Lane < lane { // Its rows are gone.
			all, heads = append(all, heads[0].Lane), heads[1:]
		}
		if len(heads) > 0 && heads[0].Lane == lane {
			heads = heads[1:]
		}
		all = append(all, lane)
	}
	for _, h := range heads {
		all = append(all, h.Lane)
	}
	return all, nil
}

// errBroken says that a lane's rows do not lead to its signed head.
var errBroken = errors.New("the rows do not lead to the head that was signed")

// extend adds the lane's new leaves to its tree.
func extend(ctx context.Context, db *sqldb.DB, before auditlog.Head) (head auditlog.Head, grown []subtree, err error) {
	tree, err := treeOf(ctx, db, before)
	if err != nil {
		return head, nil, err
	}
	tree.Complete = func(level, n int64, root tlog.Hash) {
		grown = append(grown, subtree{lane: before.Lane, level: level, n: n, root: root})
	}
	if err := appendLeaves(ctx, db, tree, before.Lane, before.Size+sealAtOnce); err != nil {
		return head, nil, err
	}
	return auditlog.Head{Lane: before.Lane, Size: tree.Size(), Root: tree.Root()}, grown, nil
}

// topLevel of the subtrees: 256 to the fifth leaves are more than any lane will have.
const topLevel = 5

// treeOf makes the tree of a signed head again, from the subtrees that are kept
// and the last leaves, and holds it against the head.
func treeOf(ctx context.Context, db *sqldb.DB, head auditlog.Head) (*auditlog.Tree, error) {
	tree := &auditlog.Tree{}
	for level := int64(topLevel); level > 0; level-- {
		if err := appendSubtrees(ctx, db, tree, head, level); err != nil {
			return nil, err
		}
	}
	if err := appendLeaves(ctx, db, tree, head.Lane, head.Size); err != nil {
		return nil, err
	}
	if tree.Size() != head.Size || tree.Root() != head.Root {
		return nil, fmt.Errorf("%w: %d leaves of %d, head %s for %s", errBroken, tree.Size(), head.Size, tree.Root(), head.Root)
	}
	return tree, nil
}

func appendSubtrees(ctx context.Context, db *sqldb.DB, tree *auditlog.Tree, head auditlog.Head, level int64) error {
	height := level * auditlog.SubtreeHeight
	from, to := tree.Size()>>height, head.Size>>height
	if from == to {
		return nil
	}
	rows, err := db.Query(ctx, `SELECT n, hash FROM audit_subtrees WHERE lane = $1 AND level = $2 AND n >= $3 AND n < $4 ORDER BY n`,
		head.Lane, level, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var text string
		if err := rows.Scan(&n, &text); err != nil {
			return err
		}
		root, err := tlog.ParseHash(text)
		if err != nil || n != tree.Size()>>height {
			return fmt.Errorf("%w: subtree %d of level %d", errBroken, n, level)
		}
		tree.AppendSubtree(level, root)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if tree.Size()>>height != to {
		return fmt.Errorf("%w: subtree %d of level %d is missing", errBroken, tree.Size()>>height, level)
	}
	return nil
}

// appendLeaves adds the leaves from the tree's size on, up to a size.
func appendLeaves(ctx context.Context, db *sqldb.DB, tree *auditlog.Tree, lane, size int64) error {
	rows, err := db.Query(ctx, `SELECT idx, leaf FROM audit_events WHERE lane = $1 AND lane > 0 AND idx >= $2 AND idx < $3 ORDER BY idx`,
		lane, tree.Size(), size)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var index int64
		var text string
		if err := rows.Scan(&index, &text); err != nil {
			return err
		}
		leaf, err := tlog.ParseHash(text)
		if err != nil || index != tree.Size() {
			return fmt.Errorf("%w: record %d follows %d", errBroken, index, tree.Size()-1)
		}
		tree.Append(leaf)
	}
	return rows.Err()
}
