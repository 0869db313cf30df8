-- +goose Up

-- Which images of a project carry which SOP Instance UID: normally one, and a
-- second one is asked about. Derived: it may be rebuilt from records.
CREATE TABLE image_instances (
  project_id       TEXT COLLATE "C" NOT NULL,
  sop_instance_uid TEXT COLLATE "C" NOT NULL,
  record_id        TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (project_id, sop_instance_uid, record_id)
);

GRANT SELECT, INSERT ON image_instances TO {{role}};
