-- +goose Up

-- What a subject consented to, or withdrew, as of which time. An entry is never
-- changed; the newest of a purpose is its state.
CREATE TABLE consents (
  patient_id   TEXT   NOT NULL,
  purpose      TEXT   NOT NULL,
  at_us        BIGINT NOT NULL,
  project_id   TEXT   NOT NULL,
  site_id      TEXT   NOT NULL,
  state        BIGINT NOT NULL,
  form_version TEXT   NOT NULL,
  at_text      TEXT   NOT NULL,
  actor        TEXT   NOT NULL,
  received_us  BIGINT NOT NULL,
  PRIMARY KEY (patient_id, purpose, at_us)
);

-- +goose StatementBegin
CREATE TRIGGER consents_no_update BEFORE UPDATE ON consents
BEGIN SELECT RAISE(ABORT, 'consents refuses update: record a new entry'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER consents_no_delete BEFORE DELETE ON consents
BEGIN SELECT RAISE(ABORT, 'consents refuses delete'); END;
-- +goose StatementEnd
-- INSERT OR REPLACE removes the row in its way without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER consents_no_replace BEFORE INSERT ON consents
WHEN EXISTS (SELECT 1 FROM consents WHERE patient_id = NEW.patient_id AND purpose = NEW.purpose AND at_us = NEW.at_us)
BEGIN SELECT RAISE(ABORT, 'consents refuses update: record a new entry'); END;
-- +goose StatementEnd
