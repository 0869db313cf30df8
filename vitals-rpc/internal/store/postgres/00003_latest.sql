-- +goose Up

-- The newest value of each sign of each subject, kept with every write so that
-- a whole project's newest values cost one read. Derived: it may be rebuilt
-- from records.
CREATE TABLE vitals_latest (
  project_id  TEXT   COLLATE "C" NOT NULL,
  patient_id  TEXT   COLLATE "C" NOT NULL,
  sign        TEXT   COLLATE "C" NOT NULL,
  site_id     TEXT   COLLATE "C" NOT NULL,
  measured_us BIGINT NOT NULL,
  record_id   TEXT   COLLATE "C" NOT NULL,
  components  TEXT   COLLATE "C" NOT NULL,
  category    TEXT   COLLATE "C" NOT NULL,
  queried     BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, sign)
) WITH (fillfactor = 70);

GRANT SELECT, INSERT, UPDATE ON vitals_latest TO {{role}};
