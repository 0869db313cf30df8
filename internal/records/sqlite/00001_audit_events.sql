-- +goose Up
CREATE TABLE audit_events (
  seq        INTEGER PRIMARY KEY,
  at_us      BIGINT  NOT NULL,
  actor      TEXT    NOT NULL,
  role       TEXT    NOT NULL,
  peer       TEXT    NOT NULL,
  request_id TEXT    NOT NULL,
  action     TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  project_id TEXT    NOT NULL,
  site_id    TEXT    NOT NULL,
  patient_id TEXT    NOT NULL,
  record_id  TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  records    INTEGER NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events refuses delete'); END;
-- +goose StatementEnd
-- INSERT OR REPLACE removes the row in its way without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit_events refuses update'); END;
-- +goose StatementEnd
