package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
)

// standIn makes a shell script the COLMAP of this test and returns where it may leave notes, in $notes. $real is the
// installed one.
func standIn(t *testing.T, script string) (notes string) {
	t.Helper()
	real, err := toolchain.Locate("colmap")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	path, notes := filepath.Join(dir, "colmap"), filepath.Join(dir, "notes")
	if err := os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nreal='%s'\nnotes='%s'\n%s\n", real, notes, script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SPLATWORKS_COLMAP", path)
	return notes
}

func recorded(t *testing.T, o sample.Options) (video string) {
	t.Helper()
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := sample.Write(t.Context(), ffmpeg, o, dir, nil); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, sample.VideoFile)
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// The kernel kills COLMAP for want of memory: the stage is retried with a smaller plan, and the user sees why.
func TestMemoryRunsOutOnce(t *testing.T) {
	need(t, "ffmpeg", "ffprobe", "colmap")
	notes := standIn(t, `
if [ "$1" = feature_extractor ]; then
	first=yes; [ -e "$notes" ] && first=no
	echo "$*" >> "$notes"
	[ $first = yes ] && kill -KILL $$
fi
exec "$real" "$@"`)
	_, r := reconstruct(t, "--preset", "preview", "--train-budget", "1s", recorded(t, sample.Options{Seed: 2, Frames: 20, Width: 320, Height: 180}))
	said := lines(t, notes)
	if len(said) != 2 || r.Plan == nil || !r.Plan.Smaller {
		t.Fatalf("%d times features were looked for, by %+v", len(said), r.Plan)
	}
	limits := [2]int{}
	for i, line := range said {
		words := strings.Fields(line)
		if at := slices.Index(words, "--SiftExtraction.max_num_features"); at > 0 {
			fmt.Sscan(words[at+1], &limits[i])
		}
	}
	if limits[1] <= 0 || limits[1] != limits[0]/2 {
		t.Errorf("features: %v", limits)
	}
	if !slices.ContainsFunc(r.Warnings, func(w pipeline.Warning) bool { return w.Code == "planned_smaller" }) {
		t.Errorf("warnings %+v", r.Warnings)
	}
}

// Where no cameras can be found, more frames of the same video are tried before the request fails, and then the frames that there
// were with searches that look harder.
func TestMoreFramesAreTried(t *testing.T) {
	need(t, "ffmpeg", "ffprobe", "colmap")
	notes := standIn(t, `
[ "$1" = help ] && exec "$real" help
command=$1
while [ $# -gt 1 ]; do
	case $1 in
	--database_path) : > "$2" ;;
	--image_list_path) wc -l < "$2" >> "$notes" ;;
	esac
	shift
done
exit 0`)
	code, _, stderr := splatworks(t, "run", "-o", t.TempDir(), "--preset", "preview", recorded(t, sample.Options{Seed: 2, Frames: 300, Width: 160, Height: 120}))
	if code != 1 || !strings.Contains(stderr, "no_sparse_model") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	said := lines(t, notes)
	counts := make([]int, len(said))
	for i := range said {
		fmt.Sscan(said[i], &counts[i])
	}
	if len(said) < 3 || counts[0] < 100 || 4*counts[1] < 5*counts[0] {
		t.Fatalf("reconstructed from %v images", said)
	}
	for _, n := range counts[2:] {
		if n != counts[0] {
			t.Errorf("reconstructed from %v images", said)
		}
	}
}
