-- +goose Up

-- The newest value of each sign of each subject, kept with every write so that
-- a whole project's newest values cost one read. Derived: it may be rebuilt
-- from records.
CREATE TABLE vitals_latest (
  project_id  TEXT   NOT NULL,
  patient_id  TEXT   NOT NULL,
  sign        TEXT   NOT NULL,
  site_id     TEXT   NOT NULL,
  measured_us BIGINT NOT NULL,
  record_id   TEXT   NOT NULL,
  components  TEXT   NOT NULL,
  category    TEXT   NOT NULL,
  queried     BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, sign)
);
