package backup

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// image is what the records of dicom-rpc say of an image's bytes.
type image struct {
	id, sha256 string
	size       int64
}

// imagesOf calls each for every image of a database of dicom-rpc, in the order
// of their ids.
func imagesOf(ctx context.Context, db *sql.DB, each func(image) error) error {
	rows, err := db.QueryContext(ctx, `SELECT record_id, content FROM records WHERE version = 1 ORDER BY record_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, content string
		if err := rows.Scan(&id, &content); err != nil {
			return err
		}
		i, err := imageOf(id, content)
		if err != nil {
			return err
		}
		if err := each(i); err != nil {
			return err
		}
	}
	return rows.Err()
}

// imageByID gives what the record says of one image.
func imageByID(ctx context.Context, db *sql.DB, id string) (image, error) {
	var content string
	err := db.QueryRowContext(ctx, `SELECT content FROM records WHERE record_id = $1 AND version = 1`, id).Scan(&content)
	if err != nil {
		return image{}, fmt.Errorf("image %s: %w", id, err)
	}
	return imageOf(id, content)
}

// imageOf reads a record's content. The first version says what came; a
// correction changes what is said of the bytes, never them.
func imageOf(id, content string) (image, error) {
	var c struct {
		Sha256 string      `json:"sha256"`
		Size   json.Number `json:"size"`
	}
	if err := json.Unmarshal([]byte(content), &c); err != nil {
		return image{}, fmt.Errorf("image %s: read its record: %w", id, err)
	}
	size, err := c.Size.Int64()
	if err != nil || len(c.Sha256) != 64 {
		return image{}, fmt.Errorf("image %s: its record has no size and digest", id)
	}
	return image{id: id, sha256: c.Sha256, size: size}, nil
}
