-- +goose Up

-- Uploads that may be gone on with, one row each, for some days after their end
-- too. upload_id names the file under incoming/ and becomes the image's id.
-- committed bytes are synced to that file, and hash_state is the state of their
-- SHA-256. epoch counts the streams that took the upload over: only the newest
-- may write to the row. answer and refusal are JSON, of how it ended.
CREATE TABLE uploads (
  upload_id        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  actor            TEXT   COLLATE "C" NOT NULL,
  project_id       TEXT   COLLATE "C" NOT NULL,
  patient_id       TEXT   COLLATE "C" NOT NULL,
  size             BIGINT NOT NULL,
  sha256           TEXT   COLLATE "C" NOT NULL,
  file_name        TEXT   COLLATE "C" NOT NULL,
  client_record_id TEXT   COLLATE "C" NOT NULL,
  state            TEXT   COLLATE "C" NOT NULL,
  committed        BIGINT NOT NULL,
  hash_state       TEXT   COLLATE "C" NOT NULL,
  epoch            BIGINT NOT NULL,
  created_us       BIGINT NOT NULL,
  expires_us       BIGINT NOT NULL,
  ended_us         BIGINT NOT NULL,
  answer           TEXT   COLLATE "C" NOT NULL,
  refusal          TEXT   COLLATE "C" NOT NULL
);
-- The open ones are few, and asked about with every upload: who has reserved what.
CREATE INDEX uploads_open ON uploads (project_id, size, committed, expires_us, upload_id, epoch) WHERE state = 'OPEN';
CREATE INDEX uploads_ended ON uploads (ended_us) WHERE state <> 'OPEN';
CREATE INDEX uploads_of_caller ON uploads (actor, sha256, created_us);

GRANT SELECT, INSERT, UPDATE, DELETE ON uploads TO {{role}};
