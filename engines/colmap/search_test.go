package colmap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A search that looks harder costs more by the estimate, and no threshold is stricter than before.
func TestSearchesGrow(t *testing.T) {
	size, last := Size{Images: 25, Width: 1000, Height: 750}, 0.0
	before := SearchPlain.thresholds()
	for s := SearchPlain; s <= SearchAffine; s++ {
		e := Plan{MaxNumFeatures: 4096, Search: s}.Estimate(size, 2)
		if !(e.CPUS > last) && s != SearchLenient {
			t.Errorf("%s takes %.0f s, the one before %.0f s", s, e.CPUS, last)
		}
		last = e.CPUS
		now := s.thresholds()
		if before.guided && !now.guided || before.affine && !now.affine || now.lowestStrongPair > before.lowestStrongPair ||
			before.peak > 0 && !(now.peak > 0 && now.peak <= before.peak) || before.ratio > 0 && !(now.ratio >= before.ratio) {
			t.Errorf("%s: %+v after %+v", s, now, before)
		}
		before = now
	}
}

// Each search asks COLMAP for what it says.
func TestWhatASearchAsksFor(t *testing.T) {
	images := t.TempDir()
	for i := range 25 {
		if err := os.WriteFile(filepath.Join(images, fmt.Sprintf("%02d.jpg", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for s, asked := range map[Search][]string{
		SearchPlain:   {},
		SearchGuided:  {"guided_matching 1"},
		SearchLenient: {"guided_matching 1", "peak_threshold 0.00333", "max_ratio 0.87", "min_num_inliers 12", "abs_pose_min_num_inliers 20", "GlobalMapper.min_num_matches 25"},
		SearchAffine:  {"guided_matching 1", "peak_threshold 0.00333", "estimate_affine_shape 1", "domain_size_pooling 1"},
	} {
		dir := t.TempDir()
		c := fake(t, `echo "$*" >> "`+dir+`/log"; : > "`+dir+`/database.db"`)
		// The program makes no model, which is not what is tested.
		_, _ = c.Reconstruct(t.Context(), Plan{ImagePath: images, WorkPath: dir, OutputPath: dir + "/out", Search: s})
		body, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, option := range []string{"guided_matching 1", "peak_threshold 0.00333", "max_ratio 0.87", "min_num_inliers 12", "abs_pose_min_num_inliers 20",
			"GlobalMapper.min_num_matches 25", "estimate_affine_shape 1", "domain_size_pooling 1"} {
			wanted := s == SearchAffine
			for _, a := range asked {
				wanted = wanted || a == option
			}
			if strings.Contains(string(body), option) != wanted {
				t.Errorf("%s: %q asked for: %v", s, option, !wanted)
			}
		}
	}
}
