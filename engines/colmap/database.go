package colmap

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"net/url"
	"slices"

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
	indices     []uint32 // of the features that descriptors are of; nil: all of the image's
}

// index of the image's feature that a row of the descriptors is of.
func (im *described) index(row uint32) uint32 {
	if im.indices == nil {
		return row
	}
	return im.indices[row]
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

// largest leaves each image the descriptors of its largest features, limit at most, in their order.
func (d database) largest(ctx context.Context, images []described, limit int) error {
	for i := range images {
		im := &images[i]
		count := len(im.descriptors) / simd.DescriptorSize
		if count <= limit {
			continue
		}
		var cols int
		var data []byte
		if err := d.QueryRowContext(ctx, "SELECT cols, data FROM keypoints WHERE image_id = ?", im.id).Scan(&cols, &data); err != nil {
			return fmt.Errorf("reading features: %w", err)
		}
		if len(data) != 4*cols*count {
			continue
		}
		areas := make([]float64, count)
		order := make([]uint32, count)
		for k := range order {
			order[k], areas[k] = uint32(k), area(data[4*cols*k:4*cols*(k+1)])
		}
		slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(areas[b], areas[a]) })
		im.indices = order[:limit]
		slices.Sort(im.indices)
		rows := make([]byte, 0, limit*simd.DescriptorSize)
		for _, k := range im.indices {
			rows = append(rows, im.descriptors[k*simd.DescriptorSize:(k+1)*simd.DescriptorSize]...)
		}
		im.descriptors = rows
	}
	return nil
}

// area of a feature up to a factor, by its row in COLMAP's table: x, y, then the affine shape, or scale and orientation, or nothing.
func area(row []byte) float64 {
	at := func(i int) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))) }
	switch len(row) / 4 {
	case 6:
		return math.Abs(at(2)*at(5) - at(3)*at(4))
	case 4:
		return at(2) * at(2)
	}
	return 0
}

const maxNumImages = 1<<31 - 1

// pairID is COLMAP's number of a pair of images (ImagePairToPairId, util/types.h).
func pairID(a, b uint32) int64 {
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

// blob is the matches as COLMAP stores them.
func (m matches) blob() []byte {
	first, second := 0, 1
	if m.a > m.b { // a row has the image with the smaller id first
		first, second = 1, 0
	}
	data := make([]byte, 0, 8*len(m.features))
	for _, f := range m.features {
		data = binary.LittleEndian.AppendUint32(data, f[first])
		data = binary.LittleEndian.AppendUint32(data, f[second])
	}
	return data
}

// write adds the matches of pairs that have none, in one transaction.
func (d database) write(ctx context.Context, found []matches) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing matches: %w", err)
	}
	defer tx.Rollback()
	for _, m := range found {
		if _, err := tx.ExecContext(ctx, "INSERT INTO matches (pair_id, rows, cols, data) VALUES (?, ?, 2, ?)", pairID(m.a, m.b), len(m.features), m.blob()); err != nil {
			return fmt.Errorf("writing matches: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing matches: %w", err)
	}
	return nil
}

// replaceInliers gives a verified pair other matches.
func (d database) replaceInliers(ctx context.Context, m matches) error {
	if _, err := d.ExecContext(ctx, "UPDATE two_view_geometries SET rows = ?, cols = 2, data = ? WHERE pair_id = ?", len(m.features), m.blob(), pairID(m.a, m.b)); err != nil {
		return fmt.Errorf("writing matches: %w", err)
	}
	return nil
}

// geometries are the verified pairs.
func (d database) geometries(ctx context.Context) (pairs []geometry, err error) {
	rows, err := d.QueryContext(ctx, "SELECT pair_id, rows, config, F, E, H, camera1, camera2 FROM two_view_geometries WHERE rows > 0 ORDER BY pair_id")
	if err != nil {
		return nil, fmt.Errorf("reading verified pairs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var f, e, h []byte
		var cameras [2][]byte
		g := geometry{}
		if err := rows.Scan(&id, &g.inliers, &g.config, &f, &e, &h, &cameras[0], &cameras[1]); err != nil {
			return nil, fmt.Errorf("reading verified pairs: %w", err)
		}
		g.a, g.b = uint32(id/maxNumImages), uint32(id%maxNumImages)
		g.f, g.e, g.h = matrixOf(f), matrixOf(e), matrixOf(h)
		for i, c := range cameras {
			const model, params = 4, 32 // where they begin: after the id, and after model, width, height and their number
			if len(c) > params {
				g.own[i] = intrinsicsOf(int(binary.LittleEndian.Uint32(c[model:])), numbers(c[params:]))
			}
		}
		pairs = append(pairs, g)
	}
	return pairs, rows.Err()
}

// sights are the places of the images' features, by the images' ids. Images of which something is amiss are left out.
func (d database) sights(ctx context.Context, images []described) (map[uint32]*sight, error) {
	rows, err := d.QueryContext(ctx, "SELECT i.image_id, k.cols, k.data, c.model, c.params FROM images i JOIN keypoints k USING (image_id) JOIN cameras c USING (camera_id)")
	if err != nil {
		return nil, fmt.Errorf("reading features: %w", err)
	}
	defer rows.Close()
	descriptors := make(map[uint32][]byte, len(images))
	for _, im := range images {
		descriptors[im.id] = im.descriptors
	}
	seen := make(map[uint32]*sight, len(images))
	for rows.Next() {
		var id uint32
		var cols, model int
		var data, params []byte
		if err := rows.Scan(&id, &cols, &data, &model, &params); err != nil {
			return nil, fmt.Errorf("reading features: %w", err)
		}
		count := len(descriptors[id]) / simd.DescriptorSize
		if cols < 2 || len(data) != 4*cols*count {
			continue
		}
		at := make([][2]float64, count)
		for i := range at {
			for k := range at[i] {
				at[i][k] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*(cols*i+k):])))
			}
		}
		seen[id] = newSight(descriptors[id], at, intrinsicsOf(model, numbers(params)))
	}
	return seen, rows.Err()
}

// matrixOf reads a matrix, row by row; nil where there is none.
func matrixOf(data []byte) *mat3 {
	values := numbers(data)
	if len(values) != 9 {
		return nil
	}
	var m mat3
	for i, v := range values {
		m[i/3][i%3] = v
	}
	return &m
}

func numbers(data []byte) (values []float64) {
	for ; len(data) >= 8; data = data[8:] {
		values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return values
}

// intrinsicsOf a camera by COLMAP's number of its model (sensor/models.h); zero where it distorts.
func intrinsicsOf(model int, params []float64) intrinsics {
	focal, ok := map[int]int{0: 1, 1: 2, 2: 1, 3: 1, 4: 2}[model] // SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, OPENCV
	if !ok || len(params) < focal+2 {
		return intrinsics{}
	}
	for _, distortion := range params[focal+2:] {
		if distortion != 0 {
			return intrinsics{}
		}
	}
	return intrinsics{params[0], params[focal-1], params[focal], params[focal+1]}
}
