-- +goose Up

-- What an event says beside who, when and which record. Rows of before the log
-- (lane 0) have none of it.
ALTER TABLE audit_events
  ADD COLUMN source  TEXT   COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN method  TEXT   COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN fields  TEXT   COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN digest  TEXT   COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN outcome TEXT   COLLATE "C" NOT NULL DEFAULT '',
  -- Where it lies in the log, and the commitment that lies there.
  ADD COLUMN lane    BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN idx     BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN salt    TEXT   COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN leaf    TEXT   COLLATE "C" NOT NULL DEFAULT '';

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
  hash  TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (lane, level, n)
);

-- Signed heads of all lanes, each with the hash of the checkpoint before.
CREATE TABLE audit_checkpoints (
  seq   BIGINT NOT NULL PRIMARY KEY,
  at_us BIGINT NOT NULL,
  log   TEXT   COLLATE "C" NOT NULL,
  note  TEXT   COLLATE "C" NOT NULL
);

CREATE TRIGGER audit_subtrees_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_subtrees
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_subtrees');
CREATE TRIGGER audit_checkpoints_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_checkpoints');

GRANT SELECT, INSERT ON audit_subtrees, audit_checkpoints TO {{role}};
