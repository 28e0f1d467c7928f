package colmap

import (
	"cmp"
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/engines/simd"
)

// COLMAP compares descriptors on the CPU by an index that is only roughly right (faiss, inverted lists) and takes several times as long
// as vector instructions need to compare all with all. So pairs are chosen and compared here, and their matches written where COLMAP
// keeps its own: matches_importer finds them there (FeatureMatcherController::Match) and verifies them. Without vector instructions, and where
// the database cannot be read, COLMAP's own matchers do everything.

// vectors says whether pairs are compared here.
var vectors = simd.Best() > simd.Plain

const (
	comparing      = "compare" // stands for COLMAP's command in the list of runs
	comparedAtOnce = 16        // pairs between two words about progress
	verifiedAtOnce = 400       // pairs of one run of matches_importer, which says nothing until it is done
)

// matchCompared chooses pairs, compares and verifies them. ok is false where that cannot be done here.
func (r *reconstructor) matchCompared(ctx context.Context, how Matching, choose func(images []described) ([][2]int, error)) (ok bool, err error) {
	if !vectors {
		return false, nil
	}
	begun, cpu := time.Now(), processCPU()
	pairs, err := r.compareAll(ctx, choose)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil || pairs == nil {
		return false, nil
	}
	if err := r.ran(Run{Command: comparing, WallS: time.Since(begun).Seconds(), CPUS: (processCPU() - cpu).Seconds()}, nil); err != nil {
		return false, err
	}
	return true, r.verify(ctx, pairs, how)
}

// compareAll compares the chosen pairs, and returns their names: nil where the descriptors are not SIFT's.
func (r *reconstructor) compareAll(ctx context.Context, choose func(images []described) ([][2]int, error)) ([][2]string, error) {
	db, err := openDatabase(r.databasePath())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	images, ok, err := db.described(ctx)
	if err != nil || !ok {
		return nil, err
	}
	done, err := db.matched(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(images)
	if err != nil {
		return nil, err
	}
	names, partners, seen := [][2]string{}, make([][]int, len(images)), make(map[[2]int]bool)
	for _, p := range chosen {
		a, b := images[p[0]], images[p[1]]
		if seen[p] || r.oneFrame(a, b) {
			continue
		}
		seen[p] = true
		names = append(names, [2]string{a.name, b.name})
		if !done[pairID(a.id, b.id)] {
			partners[p[0]] = append(partners[p[0]], p[1])
		}
	}

	type share struct {
		first  int
		others []int
	}
	var shares []share
	for first, others := range partners {
		for others := range slices.Chunk(others, comparedAtOnce) {
			shares = append(shares, share{first, others})
		}
	}
	r.progress.next(r.result.Expected.compared())
	var writing sync.Mutex
	return names, r.inParallel(ctx, len(shares), "matching features", func(c *comparison, i int) error {
		a := images[shares[i].first]
		c.a.set(a.descriptors)
		var found []matches
		for _, other := range shares[i].others {
			b := images[other]
			c.b.set(b.descriptors)
			found = append(found, matches{a.id, b.id, c.pairs()})
		}
		writing.Lock()
		defer writing.Unlock()
		return db.write(ctx, found)
	})
}

// inParallel does n things on the threads of the plan.
func (r *reconstructor) inParallel(ctx context.Context, n int, message string, do func(c *comparison, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var begun, done atomic.Int64
	for range cmp.Or(r.colmap.Threads, runtime.NumCPU()) {
		g.Go(func() error {
			c := comparison{kernels: simd.Best().Kernels(), ratio: cmp.Or(r.plan.Search.thresholds().ratio, defaultRatio)}
			for i := int(begun.Add(1)) - 1; i < n; i = int(begun.Add(1)) - 1 {
				if err := cmp.Or(ctx.Err(), do(&c, i)); err != nil {
					return err
				}
				r.progress.report(Progress{Command: comparing, Step: int(done.Add(1)), Total: n, Message: message})
			}
			return nil
		})
	}
	return g.Wait()
}

// verify lets COLMAP check the matches of pairs against the geometry of two views.
func (r *reconstructor) verify(ctx context.Context, pairs [][2]string, how Matching) error {
	list, sum := filepath.Join(r.plan.WorkPath, "pairs.txt"), Run{}
	begun, compared := 0, r.result.Expected.compared()
	var err error
	for some := range slices.Chunk(pairs, verifiedAtOnce) {
		lines := make([]string, len(some))
		for i, p := range some {
			lines[i] = p[0] + " " + p[1]
		}
		if err = writeList(list, lines); err != nil {
			break
		}
		begun += len(some)
		r.progress.next(compared + (1-compared)*float64(begun)/float64(len(pairs)))
		var run Run
		run, err = r.colmap.MatchesImporter(ctx, MatchesImporterOptions{DatabasePath: r.databasePath(), MatchListPath: list, Matching: how})
		sum = Run{Command: run.Command, WallS: sum.WallS + run.WallS, CPUS: sum.CPUS + run.CPUS, MaxRSSBytes: max(sum.MaxRSSBytes, run.MaxRSSBytes)}
		if err != nil {
			break
		}
	}
	return r.ran(sum, err)
}

// processCPU is what this process has used so far.
func processCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// oneFrame says whether images were taken by one rig at once: those are not matched.
func (r *reconstructor) oneFrame(a, b described) bool {
	return r.rigs.any() && r.rigs.frame(r.rigs.file(a.name)) == r.rigs.frame(r.rigs.file(b.name))
}
