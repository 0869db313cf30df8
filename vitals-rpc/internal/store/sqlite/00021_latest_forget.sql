-- +goose Up

-- On PostgreSQL the service gains the right to delete a newest value; here it has it.
SELECT 1;
