-- +goose Up

-- Every version of every record of this service's kind. content is the request
-- as it came, in wirejson's deterministic form.
--
-- One partition per month of receipt. The key of the partitions is the record's
-- id, a UUID of version 7, which begins with its time of creation in hex and so
-- sorts by it: the month is in every key, and a look-up by id is a look-up in one
-- partition.
CREATE TABLE records (
  project_id       TEXT   COLLATE "C" NOT NULL,
  record_id        TEXT   COLLATE "C" NOT NULL,
  version          BIGINT NOT NULL,
  site_id          TEXT   COLLATE "C" NOT NULL,
  patient_id       TEXT   COLLATE "C" NOT NULL,
  client_record_id TEXT   COLLATE "C" NOT NULL,
  at_us            BIGINT NOT NULL,
  received_us      BIGINT NOT NULL,
  content          TEXT   COLLATE "C" NOT NULL,
  findings         TEXT   COLLATE "C" NOT NULL,
  PRIMARY KEY (project_id, record_id, version)
) PARTITION BY RANGE (record_id);
CREATE INDEX records_of_patient ON records (project_id, patient_id, at_us, record_id);
CREATE INDEX records_of_project ON records (project_id, at_us, record_id);
CREATE INDEX records_by_id ON records (record_id);

-- Takes what no month takes, so that nothing is ever refused.
CREATE TABLE records_default PARTITION OF records DEFAULT;

-- A row trigger is inherited by each partition; one on TRUNCATE is not.
CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records
  FOR EACH ROW EXECUTE FUNCTION refuse_change('records');
CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('records');
CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records_default
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('records');

-- Where the ids of a month begin: its first millisecond, in hex.
-- +goose StatementBegin
CREATE FUNCTION month_begins(month timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT substr(h, 1, 8) || '-' || substr(h, 9) FROM lpad(to_hex((extract(epoch FROM month) * 1000)::bigint), 12, '0') AS h
$$;
-- +goose StatementEnd

-- Makes the partitions of some months that have none, and gives their names. A
-- month that has rows in the default partition already is left there.
-- +goose StatementBegin
CREATE FUNCTION make_partitions(earliest timestamptz, latest timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  month   timestamptz := date_trunc('month', earliest AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  later   timestamptz;
  name    text;
  is_late boolean;
BEGIN
  WHILE month <= latest LOOP
    later := (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name := 'records_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
    IF to_regclass(name) IS NULL THEN
      SELECT EXISTS (SELECT 1 FROM records_default WHERE record_id >= month_begins(month) AND record_id < month_begins(later)) INTO is_late;
      IF NOT is_late THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF records FOR VALUES FROM (%L) TO (%L)', name, month_begins(month), month_begins(later));
        EXECUTE format('CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', name, 'records');
        RETURN NEXT name;
      END IF;
    END IF;
    month := later;
  END LOOP;
END $$;
-- +goose StatementEnd

-- What clinctl migrate calls each time: this month and half a year ahead.
CREATE FUNCTION make_partitions() RETURNS SETOF text LANGUAGE sql AS 'SELECT make_partitions(now(), now() + interval ''6 months'')';

-- Exactly once: what a caller called a record (or, without a name, the hash of
-- its content) and which record that became, for ever. Not partitioned: a unique
-- key over partitions would need the month, which a caller who sends again after
-- midnight does not know.
CREATE TABLE record_ids (
  project_id   TEXT COLLATE "C" NOT NULL,
  client_key   TEXT COLLATE "C" NOT NULL,
  content_hash TEXT COLLATE "C" NOT NULL,
  record_id    TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project_id, client_key)
);
CREATE TRIGGER record_ids_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON record_ids
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('record_ids');

-- Counts for summaries, kept with every write so that no summary counts rows:
-- per subject, and with patient_id '' per site. Derived: it may be rebuilt.
CREATE TABLE record_totals (
  project_id TEXT   COLLATE "C" NOT NULL,
  site_id    TEXT   COLLATE "C" NOT NULL,
  patient_id TEXT   COLLATE "C" NOT NULL,
  records    BIGINT NOT NULL,
  queried    BIGINT NOT NULL,
  subjects   BIGINT NOT NULL,
  newest_us  BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, site_id)
) WITH (fillfactor = 70);

-- Named counts of a service's own (blood pressures per category, bytes, ...).
CREATE TABLE record_tallies (
  project_id TEXT   COLLATE "C" NOT NULL,
  site_id    TEXT   COLLATE "C" NOT NULL,
  patient_id TEXT   COLLATE "C" NOT NULL,
  name       TEXT   COLLATE "C" NOT NULL,
  n          BIGINT NOT NULL,
  PRIMARY KEY (project_id, patient_id, site_id, name)
) WITH (fillfactor = 70);

-- Records taken on the registry's last known answer, while it was away; a
-- recheck takes them off the list, or marks them failed.
CREATE TABLE unverified_records (
  project_id TEXT   COLLATE "C" NOT NULL,
  record_id  TEXT   COLLATE "C" NOT NULL,
  patient_id TEXT   COLLATE "C" NOT NULL,
  site_id    TEXT   COLLATE "C" NOT NULL,
  at_us      BIGINT NOT NULL,
  failed     BIGINT NOT NULL,
  PRIMARY KEY (project_id, record_id)
);

GRANT SELECT, INSERT ON records, record_ids TO {{role}};
GRANT SELECT, INSERT, UPDATE ON record_totals, record_tallies TO {{role}};
GRANT SELECT, INSERT, UPDATE, DELETE ON unverified_records TO {{role}};
