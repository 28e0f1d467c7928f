package colmap

import (
	"cmp"
	"context"
	"math"
	"path/filepath"
	"runtime"
	"runtime/debug"
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
	debug.FreeOSMemory() // of the descriptors: COLMAP needs it next
	r.ran(Run{Command: comparing, WallS: time.Since(begun).Seconds(), CPUS: (processCPU() - cpu).Seconds()}, nil)
	guided := how.GuidedMatching && !how.Rigs // whose images are verified together
	how.GuidedMatching = how.GuidedMatching && !guided
	if err := r.verify(ctx, pairs, how); err != nil || !guided {
		return true, err
	}
	return true, r.guide(ctx)
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
	if err := db.largest(ctx, images, comparedLimit(r.plan.MaxNumFeatures)); err != nil {
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
			pairs := c.pairs()
			for i, p := range pairs {
				pairs[i] = [2]uint32{a.index(p[0]), b.index(p[1])}
			}
			found = append(found, matches{a.id, b.id, pairs})
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

// comparison finds which features of two images look alike, as COLMAP's cpu_brute_force_matcher does (FindBestMatchesBruteForce,
// feature/sift.cc): the nearest by angle, if it is near enough, clearly nearer than the second nearest, and each is the other's. It
// keeps its memory from pair to pair.
type comparison struct {
	kernels *simd.Kernels
	ratio   float64 // of the angles of the best and the second best; COLMAP's max_ratio
	a, b    side
}

// side is one of the two images.
type side struct {
	rows   []byte
	blocks simd.Descriptors
}

func (s *side) set(rows []byte) {
	s.rows = rows
	s.blocks.Fill(rows)
}

const (
	maxDistance    = 0.7   // radians; COLMAP's max_distance
	descriptorNorm = 512.0 // of SIFT descriptors as bytes
	defaultRatio   = 0.8   // COLMAP's max_ratio
)

// pairs returns the indices of features that match: of the first image, then of the second.
func (c *comparison) pairs() [][2]uint32 {
	forth := make([]int, c.a.blocks.Count)
	for i := range forth {
		forth[i] = i
	}
	nearest := c.nearest(&c.a, &c.b, forth)
	asked := make([]int, 0, len(nearest))
	seen := make(map[int]bool)
	for _, k := range nearest {
		if k >= 0 && !seen[k] {
			seen[k] = true
			asked = append(asked, k)
		}
	}
	back := make(map[int]int, len(asked))
	for at, i := range c.nearest(&c.b, &c.a, asked) {
		back[asked[at]] = i
	}
	var pairs [][2]uint32
	for i, k := range nearest {
		if k >= 0 && back[k] == i {
			pairs = append(pairs, [2]uint32{uint32(i), uint32(k)})
		}
	}
	return pairs
}

// nearest returns for each of the features of one image the index of the one in another image that it matches, -1 for none.
func (c *comparison) nearest(from, to *side, features []int) []int {
	found := make([]int, len(features))
	var queries simd.Queries
	var n simd.Nearest
	for first := 0; first < len(features); first += len(queries) {
		group := features[first:min(first+len(queries), len(features))]
		for j, feature := range group {
			queries.Set(j, from.rows[feature*simd.DescriptorSize:])
		}
		n.Begin()
		c.kernels.Nearest(&queries, to.blocks, 0, to.blocks.Blocks(), &n)
		for j := range group {
			best, second, index := n.Of(j)
			found[first+j] = -1
			if best > 0 && distinct(best, second, c.ratio) {
				found[first+j] = index
			}
		}
	}
	return found
}

// distinct says whether a match is near enough, and nearer than ratio times the second nearest, by dot products.
func distinct(best, second int32, ratio float64) bool {
	angle := func(dot int32) float64 { return math.Acos(min(float64(dot)/(descriptorNorm*descriptorNorm), 1)) }
	distance := angle(best)
	return distance <= maxDistance && distance < ratio*angle(second)
}
