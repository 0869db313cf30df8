-- +goose Up

-- A grant is version 1; its revocation, if there is one, version 2, with the same
-- content but who did it and when. sites is a list with commas, sorted; empty: all.
CREATE TABLE grants (
  grant_id   TEXT   COLLATE "C" NOT NULL,
  version    BIGINT NOT NULL,
  issuer     TEXT   COLLATE "C" NOT NULL,
  sub        TEXT   COLLATE "C" NOT NULL,
  role       TEXT   COLLATE "C" NOT NULL,
  project_id TEXT   COLLATE "C" NOT NULL,
  sites      TEXT   COLLATE "C" NOT NULL,
  patient_id TEXT   COLLATE "C" NOT NULL,
  by_issuer  TEXT   COLLATE "C" NOT NULL,
  by_sub     TEXT   COLLATE "C" NOT NULL,
  at_us      BIGINT NOT NULL,
  PRIMARY KEY (grant_id, version)
);
CREATE INDEX grants_of_account ON grants (sub, grant_id, version);
CREATE INDEX grants_of_project ON grants (project_id, grant_id, version);

-- Every state that an account was put in; the newest is in force. Without one it
-- is enabled.
CREATE TABLE account_states (
  sub       TEXT   COLLATE "C" NOT NULL,
  version   BIGINT NOT NULL,
  disabled  BIGINT NOT NULL,
  reason    TEXT   COLLATE "C" NOT NULL,
  by_issuer TEXT   COLLATE "C" NOT NULL,
  by_sub    TEXT   COLLATE "C" NOT NULL,
  at_us     BIGINT NOT NULL,
  PRIMARY KEY (sub, version)
);

CREATE TRIGGER grants_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON grants
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('grants');
CREATE TRIGGER account_states_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON account_states
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('account_states');

GRANT SELECT, INSERT ON grants, account_states TO {{role}};
