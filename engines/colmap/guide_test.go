package colmap_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/simd"
)

// Guided matching finds what COLMAP's own finds, which tries every feature with every other.
func TestGuidedMatchesAreCOLMAPs(t *testing.T) {
	c := installed(t)
	if simd.Best() == simd.Plain {
		t.Skip("without vector instructions COLMAP matches")
	}
	folder, _, _ := sampleFrames(t, 6, 32)
	plan := colmap.Plan{ImagePath: folder, Video: true, Matcher: colmap.Exhaustive, Search: colmap.SearchGuided, WorkPath: t.TempDir(), OutputPath: t.TempDir()}
	result, err := c.Reconstruct(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(result.Runs, func(run colmap.Run) bool { return run.Command == "guide" && run.CPUS > 0 }) {
		t.Errorf("nothing was guided: %+v", result.Runs)
	}
	database := filepath.Join(plan.WorkPath, "database.db")
	ours := pairsIn(t, database, "two_view_geometries")

	execute(t, database, "DELETE FROM two_view_geometries")
	args := []string{"exhaustive_matcher", "--database_path", database, "--FeatureMatching.use_gpu", "0", "--SiftMatching.cpu_brute_force_matcher", "1"}
	colmapDoes := func(more ...string) map[int64]map[[2]uint32]bool {
		if out, err := exec.Command(c.Path, append(args, more...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return pairsIn(t, database, "two_view_geometries")
	}
	plain := colmapDoes()
	execute(t, database, "DELETE FROM two_view_geometries")
	theirs := colmapDoes("--FeatureMatching.guided_matching", "1")

	if !slices.Equal(slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(theirs))) {
		t.Errorf("%d pairs, COLMAP has %d", len(ours), len(theirs))
	}
	unguided, all, missing, more := 0, 0, 0, 0
	for id, want := range theirs {
		unguided += len(plain[id])
		for match := range want {
			if all++; !ours[id][match] {
				missing++
			}
		}
		for match := range ours[id] {
			if !want[match] {
				more++
			}
		}
	}
	// Geometries are not quite the same in two runs: where they are, so are the matches.
	t.Logf("%d pairs, %d matches unguided, %d guided by COLMAP, of which %d are missing and %d are more", len(theirs), unguided, all, missing, more)
	if all < 1000 || all <= unguided || missing > all/50 || more > all/50 {
		t.Errorf("of %d matches %d are missing, and there are %d more", all, missing, more)
	}
}
