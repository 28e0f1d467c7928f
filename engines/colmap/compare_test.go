package colmap_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/simd"
)

// sampleFrames writes the first frames of an orbit around the synthetic sample, 360/of degrees apart, into a folder.
func sampleFrames(t *testing.T, frames, of int) (folder string, capture *sample.Capture, options sample.Options) {
	t.Helper()
	options = sample.Options{Seed: 4, Frames: of, Width: 320, Height: 180}
	capture, err := sample.New(options)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	for i := range frames {
		rgb, img := capture.Frame(i), image.NewNRGBA(image.Rect(0, 0, options.Width, options.Height))
		for at := range options.Width * options.Height {
			img.SetNRGBA(at%options.Width, at/options.Width, color.NRGBA{rgb[3*at], rgb[3*at+1], rgb[3*at+2], 255})
		}
		out, err := os.Create(filepath.Join(folder, sample.Name(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(jpeg.Encode(out, img, &jpeg.Options{Quality: 95}), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return folder, capture, options
}

// execute changes a database.
func execute(t *testing.T, database, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// pairsIn are the matches in a table of a database by pair; verified pairs without any are left out.
func pairsIn(t *testing.T, database, table string) map[int64]map[[2]uint32]bool {
	t.Helper()
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT pair_id, rows, data FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := make(map[int64]map[[2]uint32]bool)
	for rows.Next() {
		var id int64
		var count int
		var data []byte
		if err := rows.Scan(&id, &count, &data); err != nil || len(data) != 8*count {
			t.Fatalf("pair %d: %d rows in %d bytes (%v)", id, count, len(data), err)
		}
		if count == 0 && table != "matches" {
			continue
		}
		found[id] = make(map[[2]uint32]bool)
		for ; len(data) > 0; data = data[8:] {
			found[id][[2]uint32{binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])}] = true
		}
	}
	return found
}

// The pairs that are compared before a matcher runs are those that it asks for, no more and no less, and COLMAP's own comparison of
// every feature with every other finds the same matches.
func TestPairsAreComparedAsCOLMAPDoes(t *testing.T) {
	c := installed(t)
	if simd.Best() == simd.Plain {
		t.Skip("without vector instructions COLMAP compares all pairs")
	}
	folder, _, _ := sampleFrames(t, 8, 32)
	for matcher, pairs := range map[colmap.Matcher]int{colmap.Exhaustive: 28, colmap.Sequential: 7 + 6 + 4} {
		t.Run(string(matcher), func(t *testing.T) {
			plan := colmap.Plan{ImagePath: folder, Video: true, Matcher: matcher, WorkPath: t.TempDir(), OutputPath: t.TempDir()}
			result, err := c.Reconstruct(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			compared := func(run colmap.Run) bool { return run.Command == "compare" && run.CPUS > 0 }
			if !slices.ContainsFunc(result.Runs, compared) {
				t.Errorf("nothing was compared: %+v", result.Runs)
			}

			database := filepath.Join(plan.WorkPath, "database.db")
			ours := pairsIn(t, database, "matches")
			execute(t, database, "DELETE FROM matches; DELETE FROM two_view_geometries")
			args := []string{string(matcher) + "_matcher", "--database_path", database, "--FeatureMatching.use_gpu", "0",
				"--FeatureMatching.skip_geometric_verification", "1", "--SiftMatching.cpu_brute_force_matcher", "1"}
			if out, err := exec.Command(c.Path, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			theirs := pairsIn(t, database, "matches")
			if !slices.Equal(slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(theirs))) || len(ours) != pairs {
				t.Errorf("%d pairs were compared, COLMAP asks for %d, want %d", len(ours), len(theirs), pairs)
			}
			all, different := 0, 0
			for id, want := range theirs {
				for match := range want {
					if all++; !ours[id][match] {
						different++
					}
				}
				for match := range ours[id] {
					if !want[match] {
						different++
					}
				}
			}
			t.Logf("%d pairs, %d matches, %d differ", len(theirs), all, different)
			if all < 1000 || different > all/1000 { // COLMAP's angles are of 32 bits
				t.Errorf("%d of %d matches differ", different, all)
			}
		})
	}
}

func TestComparingIsCanceled(t *testing.T) {
	c := installed(t)
	ctx, stop := context.WithCancel(t.Context())
	c.Progress = func(p colmap.Progress) {
		if p.Message == "matching features" {
			stop()
		}
	}
	folder, _, _ := sampleFrames(t, 5, 32)
	plan := colmap.Plan{ImagePath: folder, WorkPath: t.TempDir(), OutputPath: t.TempDir()}
	if _, err := c.Reconstruct(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
