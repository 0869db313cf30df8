-- +goose Up

-- A grant is version 1; its revocation, if there is one, version 2, with the same
-- content but who did it and when. sites is a list with commas, sorted; empty: all.
CREATE TABLE grants (
  grant_id   TEXT   NOT NULL,
  version    BIGINT NOT NULL,
  issuer     TEXT   NOT NULL,
  sub        TEXT   NOT NULL,
  role       TEXT   NOT NULL,
  project_id TEXT   NOT NULL,
  sites      TEXT   NOT NULL,
  patient_id TEXT   NOT NULL,
  by_issuer  TEXT   NOT NULL,
  by_sub     TEXT   NOT NULL,
  at_us      BIGINT NOT NULL,
  PRIMARY KEY (grant_id, version)
);
CREATE INDEX grants_of_account ON grants (sub, grant_id, version);
CREATE INDEX grants_of_project ON grants (project_id, grant_id, version);

-- Every state that an account was put in; the newest is in force. Without one it
-- is enabled.
CREATE TABLE account_states (
  sub       TEXT   NOT NULL,
  version   BIGINT NOT NULL,
  disabled  BIGINT NOT NULL,
  reason    TEXT   NOT NULL,
  by_issuer TEXT   NOT NULL,
  by_sub    TEXT   NOT NULL,
  at_us     BIGINT NOT NULL,
  PRIMARY KEY (sub, version)
);

-- +goose StatementBegin
CREATE TRIGGER grants_no_update BEFORE UPDATE ON grants
BEGIN SELECT RAISE(ABORT, 'grants refuses update: write a revocation'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_no_delete BEFORE DELETE ON grants
BEGIN SELECT RAISE(ABORT, 'grants refuses delete: write a revocation'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_states_no_update BEFORE UPDATE ON account_states
BEGIN SELECT RAISE(ABORT, 'account_states refuses update: write a new version'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_states_no_delete BEFORE DELETE ON account_states
BEGIN SELECT RAISE(ABORT, 'account_states refuses delete'); END;
-- +goose StatementEnd
