-- +goose Up

-- What a subject consented to, or withdrew, as of which time. An entry is never
-- changed; the newest of a purpose is its state.
CREATE TABLE consents (
  patient_id   TEXT   COLLATE "C" NOT NULL,
  purpose      TEXT   COLLATE "C" NOT NULL,
  at_us        BIGINT NOT NULL,
  project_id   TEXT   COLLATE "C" NOT NULL,
  site_id      TEXT   COLLATE "C" NOT NULL,
  state        BIGINT NOT NULL,
  form_version TEXT   COLLATE "C" NOT NULL,
  at_text      TEXT   COLLATE "C" NOT NULL,
  actor        TEXT   COLLATE "C" NOT NULL,
  received_us  BIGINT NOT NULL,
  PRIMARY KEY (patient_id, purpose, at_us)
);

CREATE TRIGGER consents_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON consents
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('consents');

GRANT SELECT, INSERT ON consents TO {{role}};
