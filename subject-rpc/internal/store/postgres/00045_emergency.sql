-- +goose Up

-- Emergency access is a grant that an account has taken for itself: until when, and
-- why. What was granted by others has neither.
ALTER TABLE grants ADD COLUMN until_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN reason TEXT COLLATE "C" NOT NULL DEFAULT '';
