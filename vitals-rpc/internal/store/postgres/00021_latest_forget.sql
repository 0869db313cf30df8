-- +goose Up

-- A sign's newest value goes when the only record that held it is voided.
GRANT DELETE ON vitals_latest TO {{role}};
