-- +goose Up

-- What an event says beside who, when and which record. Rows of before the log
-- (lane 0) have none of it.
ALTER TABLE audit_events ADD COLUMN source  TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN method  TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN fields  TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN digest  TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN outcome TEXT   NOT NULL DEFAULT '';
-- Where it lies in the log, and the commitment that lies there.
ALTER TABLE audit_events ADD COLUMN lane    BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN idx     BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN salt    TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN leaf    TEXT   NOT NULL DEFAULT '';

CREATE UNIQUE INDEX audit_events_in_lane ON audit_events (lane, idx) WHERE lane > 0;
-- Who read or changed this subject's data, newest first; reads of a whole
-- project have no patient_id.
CREATE INDEX audit_events_of_patient ON audit_events (project_id, patient_id, seq);

-- Hashes of the complete subtrees of 256^level leaves, so that a tree is
-- extended, by whichever process, without its old leaves.
CREATE TABLE audit_subtrees (
  lane  BIGINT NOT NULL,
  level BIGINT NOT NULL,
  n     BIGINT NOT NULL,
  hash  TEXT   NOT NULL,
  PRIMARY KEY (lane, level, n)
);

-- Signed heads of all lanes, each with the hash of the checkpoint before.
CREATE TABLE audit_checkpoints (
  seq   BIGINT NOT NULL PRIMARY KEY,
  at_us BIGINT NOT NULL,
  log   TEXT   NOT NULL,
  note  TEXT   NOT NULL
);

-- INSERT OR REPLACE removes the row in its way without asking the triggers that
-- refuse DELETE, unless the connection asks for that.
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_replace_in_lane BEFORE INSERT ON audit_events
WHEN NEW.lane > 0 AND EXISTS (SELECT 1 FROM audit_events WHERE lane = NEW.lane AND idx = NEW.idx AND lane > 0)
BEGIN SELECT RAISE(ABORT, 'audit_events refuses update'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_subtrees_no_update BEFORE UPDATE ON audit_subtrees
BEGIN SELECT RAISE(ABORT, 'audit_subtrees refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_subtrees_no_delete BEFORE DELETE ON audit_subtrees
BEGIN SELECT RAISE(ABORT, 'audit_subtrees refuses delete'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_subtrees_no_replace BEFORE INSERT ON audit_subtrees
WHEN EXISTS (SELECT 1 FROM audit_subtrees WHERE lane = NEW.lane AND level = NEW.level AND n = NEW.n)
BEGIN SELECT RAISE(ABORT, 'audit_subtrees refuses update'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_checkpoints_no_update BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoints_no_delete BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints refuses delete'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoints_no_replace BEFORE INSERT ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints refuses update'); END;
-- +goose StatementEnd
