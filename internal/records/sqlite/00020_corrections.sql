-- +goose Up

-- Who made a version, why, whether it says that the record counts no more, and
-- the hash by which a correction that is sent again is known.
ALTER TABLE records ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE records ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE records ADD COLUMN voided BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN correction_hash TEXT NOT NULL DEFAULT '';

-- What lists leave out: the versions that a newer one corrects, and (voided = 1)
-- the version that voids a record. Few records are ever corrected, so that this
-- small table is asked instead of the versions of each record.
CREATE TABLE hidden_versions (
  project_id TEXT   NOT NULL,
  record_id  TEXT   NOT NULL,
  version    BIGINT NOT NULL,
  voided     BIGINT NOT NULL,
  PRIMARY KEY (project_id, record_id, version)
);
-- +goose StatementBegin
CREATE TRIGGER hidden_versions_no_update BEFORE UPDATE ON hidden_versions
BEGIN SELECT RAISE(ABORT, 'hidden_versions refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hidden_versions_no_delete BEFORE DELETE ON hidden_versions
BEGIN SELECT RAISE(ABORT, 'hidden_versions refuses delete'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hidden_versions_no_replace BEFORE INSERT ON hidden_versions
WHEN EXISTS (SELECT 1 FROM hidden_versions WHERE project_id = NEW.project_id AND record_id = NEW.record_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'hidden_versions refuses update'); END;
-- +goose StatementEnd
