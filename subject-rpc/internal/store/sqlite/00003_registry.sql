-- +goose Up
CREATE TABLE projects (
  project_id  TEXT   NOT NULL PRIMARY KEY,
  title       TEXT   NOT NULL,
  received_us BIGINT NOT NULL
);

CREATE TABLE sites (
  project_id  TEXT   NOT NULL,
  site_id     TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  received_us BIGINT NOT NULL,
  PRIMARY KEY (project_id, site_id)
);

-- Every version of a subject's entry: 1 enrolled, 2 withdrawn. The newest is in
-- force. patient_id leads the key because it is unique in the whole suite.
CREATE TABLE subjects (
  patient_id      TEXT   NOT NULL,
  version         BIGINT NOT NULL,
  project_id      TEXT   NOT NULL,
  site_id         TEXT   NOT NULL,
  state           BIGINT NOT NULL,
  withdrawal_us   BIGINT NOT NULL,
  withdrawal_text TEXT   NOT NULL,
  reason          TEXT   NOT NULL,
  received_us     BIGINT NOT NULL,
  PRIMARY KEY (patient_id, version)
);
CREATE INDEX subjects_of_project ON subjects (project_id, patient_id, version);

-- +goose StatementBegin
CREATE TRIGGER projects_no_update BEFORE UPDATE ON projects
BEGIN SELECT RAISE(ABORT, 'projects refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER sites_no_update BEFORE UPDATE ON sites
BEGIN SELECT RAISE(ABORT, 'sites refuses update'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER subjects_no_update BEFORE UPDATE ON subjects
BEGIN SELECT RAISE(ABORT, 'subjects refuses update: write a new version'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER projects_no_delete BEFORE DELETE ON projects
BEGIN SELECT RAISE(ABORT, 'projects refuses delete'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER sites_no_delete BEFORE DELETE ON sites
BEGIN SELECT RAISE(ABORT, 'sites refuses delete'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER subjects_no_delete BEFORE DELETE ON subjects
BEGIN SELECT RAISE(ABORT, 'subjects refuses delete'); END;
-- +goose StatementEnd
