-- +goose Up

-- Who made a version, why, whether it says that the record counts no more, and
-- the hash by which a correction that is sent again is known.
ALTER TABLE records
  ADD COLUMN actor           TEXT COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN reason          TEXT COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN voided          BIGINT           NOT NULL DEFAULT 0,
  ADD COLUMN correction_hash TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What lists leave out: the versions that a newer one corrects, and (voided = 1)
-- the version that voids a record. Few records are ever corrected, so that this
-- small table is asked instead of the versions of each record.
CREATE TABLE hidden_versions (
  project_id TEXT   COLLATE "C" NOT NULL,
  record_id  TEXT   COLLATE "C" NOT NULL,
  version    BIGINT NOT NULL,
  voided     BIGINT NOT NULL,
  PRIMARY KEY (project_id, record_id, version)
);
CREATE TRIGGER hidden_versions_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hidden_versions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('hidden_versions');

GRANT SELECT, INSERT ON hidden_versions TO {{role}};
