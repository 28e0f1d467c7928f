package colmap

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver

	"github.com/splatworks/splatworks/engines/simd"
)

// database is COLMAP's database of features and matches (https://colmap.github.io/database.html), between two commands.
type database struct{ *sql.DB }

func openDatabase(path string) (database, error) {
	// As COLMAP opens it: what a crash of the machine loses is made anew.
	address := url.URL{Scheme: "file", Path: path, RawQuery: "mode=rw&_pragma=busy_timeout(10000)&_pragma=synchronous(off)"}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return database{}, fmt.Errorf("opening COLMAP's database: %w", err)
	}
	return database{db}, nil
}

// described is an image with the descriptors of its features: rows of simd.DescriptorSize bytes.
type described struct {
	id          uint32
	name        string
	descriptors []byte
}

// described returns the images in the order of their names. ok is false where descriptors are of another size than SIFT's.
func (d database) described(ctx context.Context) (images []described, ok bool, err error) {
	rows, err := d.QueryContext(ctx, "SELECT i.image_id, i.name, d.cols, d.data FROM images i JOIN descriptors d USING (image_id) ORDER BY i.name")
	if err != nil {
		return nil, false, fmt.Errorf("reading features: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		im, cols := described{}, 0
		if err := rows.Scan(&im.id, &im.name, &cols, &im.descriptors); err != nil {
			return nil, false, fmt.Errorf("reading features: %w", err)
		}
		if len(im.descriptors) > 0 && (cols != simd.DescriptorSize || len(im.descriptors)%simd.DescriptorSize != 0) {
			return nil, false, nil
		}
		images = append(images, im)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("reading features: %w", err)
	}
	return images, true, nil
}

// pairID is COLMAP's number of a pair of images (ImagePairToPairId, util/types.h).
func pairID(a, b uint32) int64 {
	const maxNumImages = 1<<31 - 1
	return maxNumImages*int64(min(a, b)) + int64(max(a, b))
}

// matched are the pairs that have been compared.
func (d database) matched(ctx context.Context) (map[int64]bool, error) {
	rows, err := d.QueryContext(ctx, "SELECT pair_id FROM matches")
	if err != nil {
		return nil, fmt.Errorf("reading matches: %w", err)
	}
	defer rows.Close()
	pairs := make(map[int64]bool)
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading matches: %w", err)
		}
		pairs[id] = true
	}
	return pairs, rows.Err()
}

// matches are features of image a that look like features of image b, by their indices.
type matches struct {
	a, b     uint32 // ids
	features [][2]uint32
}

// write adds the matches of pairs that have none, in one transaction.
func (d database) write(ctx context.Context, found []matches) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing matches: %w", err)
	}
	defer tx.Rollback()
	for _, m := range found {
		first, second := 0, 1
		if m.a > m.b { // a row has the image with the smaller id first
			first, second = 1, 0
		}
		data := make([]byte, 0, 8*len(m.features))
		for _, f := range m.features {
			data = binary.LittleEndian.AppendUint32(data, f[first])
			data = binary.LittleEndian.AppendUint32(data, f[second])
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO matches (pair_id, rows, cols, data) VALUES (?, ?, 2, ?)", pairID(m.a, m.b), len(m.features), data); err != nil {
			return fmt.Errorf("writing matches: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing matches: %w", err)
	}
	return nil
}
