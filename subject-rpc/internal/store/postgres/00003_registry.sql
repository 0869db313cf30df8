-- +goose Up
CREATE TABLE projects (
  project_id  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  title       TEXT   COLLATE "C" NOT NULL,
  received_us BIGINT NOT NULL
);

CREATE TABLE sites (
  project_id  TEXT   COLLATE "C" NOT NULL,
  site_id     TEXT   COLLATE "C" NOT NULL,
  name        TEXT   COLLATE "C" NOT NULL,
  received_us BIGINT NOT NULL,
  PRIMARY KEY (project_id, site_id)
);

-- Every version of a subject's entry: 1 enrolled, 2 withdrawn. The newest is in
-- force. patient_id leads the key because it is unique in the whole suite.
CREATE TABLE subjects (
  patient_id      TEXT   COLLATE "C" NOT NULL,
  version         BIGINT NOT NULL,
  project_id      TEXT   COLLATE "C" NOT NULL,
  site_id         TEXT   COLLATE "C" NOT NULL,
  state           BIGINT NOT NULL,
  withdrawal_us   BIGINT NOT NULL,
  withdrawal_text TEXT   COLLATE "C" NOT NULL,
  reason          TEXT   COLLATE "C" NOT NULL,
  received_us     BIGINT NOT NULL,
  PRIMARY KEY (patient_id, version)
);
CREATE INDEX subjects_of_project ON subjects (project_id, patient_id, version);

CREATE TRIGGER projects_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON projects
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('projects');
CREATE TRIGGER sites_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON sites
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('sites');
CREATE TRIGGER subjects_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON subjects
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('subjects');

GRANT SELECT, INSERT ON projects, sites, subjects TO {{role}};
