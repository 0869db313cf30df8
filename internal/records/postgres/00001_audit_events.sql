-- +goose Up

-- Text sorts and compares by bytes, whatever the database's own collation is.
CREATE TABLE audit_events (
  seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at_us      BIGINT NOT NULL,
  actor      TEXT   COLLATE "C" NOT NULL,
  role       TEXT   COLLATE "C" NOT NULL,
  peer       TEXT   COLLATE "C" NOT NULL,
  request_id TEXT   COLLATE "C" NOT NULL,
  action     TEXT   COLLATE "C" NOT NULL,
  kind       TEXT   COLLATE "C" NOT NULL,
  project_id TEXT   COLLATE "C" NOT NULL,
  site_id    TEXT   COLLATE "C" NOT NULL,
  patient_id TEXT   COLLATE "C" NOT NULL,
  record_id  TEXT   COLLATE "C" NOT NULL,
  version    BIGINT NOT NULL,
  records    BIGINT NOT NULL
);

-- Refusal of the trigger's operation, for tables of which no row may change. The
-- service's role has no right to try; this is for the roles that have.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% refuses %', TG_ARGV[0], lower(TG_OP) USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('audit_events');

GRANT SELECT, INSERT ON audit_events TO {{role}};
