-- +goose Up

-- Every version of every record of this service's kind. content is the request
-- as it came, in wirejson's deterministic form.
CREATE TABLE records (
  project_id       TEXT   NOT NULL,
  record_id        TEXT   NOT NULL,
  version          BIGINT NOT NULL,
  site_id          TEXT   NOT NULL,
  patient_id       TEXT   NOT NULL,
  client_record_id TEXT   NOT NULL,
  at_us            BIGINT NOT NULL,
  received_us      BIGINT NOT NULL,
  content          TEXT   NOT NULL,
  findings         TEXT   NOT NULL,
  PRIMARY KEY (project_id, record_id, version)
);
CREATE INDEX records_of_patient ON records (project_id, patient_id, at_us, record_id);
CREATE INDEX records_of_project ON records (project_id, at_us, record_id);
CREATE INDEX records_by_id ON records (record_id);

-- +goose StatementBegin
CREATE TRIGGER records_no_update BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'records refuses update: write a new version'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER records_no_delete BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'records refuses delete'); END;
-- +goose StatementEnd
-- INSERT OR REPLACE removes the row in its way without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER records_no_replace BEFORE INSERT ON records
WHEN EXISTS (SELECT 1 FROM records WHERE project_id = NEW.project_id AND record_id = NEW.record_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'records refuses update: write a new version'); END;
-- +goose StatementEnd

-- Exactly once: what a caller called a record (or, without a name, the hash of
-- its content) and which record that became, for ever.
CREATE TABLE record_ids (
  project_id   TEXT NOT NULL,
  client_key   TEXT NOT NULL,
  content_hash TEXT NOT NULL,
  record_id    TEXT NOT NULL,
  PRIMARY KEY (project_id, client_key)
);

-- Counts for summaries, kept with every write so that no summary counts rows:
-- per subject, and with patient_id '' per site. Derived: it may be rebuilt.
CREATE TABLE record_totals (
  project_id TEXT   NOT NULL,
  site_id    TEXT   NOT NULL,
  patient_id TEXT   NOT NULL,
  records    BIGINT NOT NULL,
  queried    BIGINT NOT NULL,
  subjects   BIGINT NOT NULL,
  newest_us  BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, site_id)
);

-- Named counts of a service's own (blood pressures per category, bytes, ...).
CREATE TABLE record_tallies (
  project_id TEXT   NOT NULL,
  site_id    TEXT   NOT NULL,
  patient_id TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  n          BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, site_id, name)
);

-- Records taken on the registry's last known answer, while it was away; a
-- recheck takes them off the list, or marks them failed.
CREATE TABLE unverified_records (
  project_id TEXT   NOT NULL,
  record_id  TEXT   NOT NULL,
  patient_id TEXT   NOT NULL,
  site_id    TEXT   NOT NULL,
  at_us      BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  PRIMARY KEY (project_id, record_id)
);
