package clean

import (
	"cmp"
	"fmt"
	"slices"
)

// spareBound is how many dB of the best so far consolidation may cost. Training once more gains some at first: what a round takes of
// that is lost, too.
const spareBound = 0.1

// keptShares are the parts of the Gaussians that are left after each round of consolidation.
var keptShares = []float64{0.8, 0.65, 0.5}

const (
	refitEpochs = 8   // passes over the training images after each round,
	refitMost   = 500 // in iterations at most
)

// consolidate turns the cloud into fewer Gaussians that show the same: round by round those go that the images miss least, and the
// others are trained once more. It ends before a round that costs more than the bound. To remove in
// rounds, and by what the images miss, is from Mini-Splatting (Fang and Wang 2024, arXiv 2403.14166) and LightGaussian (Fan et al.
// 2024, arXiv 2311.17245); what is compared here is the change of the images themselves.
func (k *cleaning) consolidate() error {
	iterations := min(refitEpochs*len(k.data.Train), refitMost)
	k.part(k.early(), 1)
	k.usual = float64(len(keptShares)*(len(k.data.Train)+len(k.views)+iterations)) / 2
	all, best := k.cloud.Len(), k.quality.PSNR
	for _, share := range keptShares {
		if err := k.gather(); err != nil {
			return err
		}
		left, err := k.refit(k.cloud.Picked(k.dearest(int(share*float64(all)))), iterations, k.looked)
		if err != nil {
			return fmt.Errorf("train what is left: %w", err)
		}
		q, err := k.measure(left)
		if err != nil {
			return err
		}
		s := Step{Reason: Spare, Removed: k.cloud.Len() - left.Len(), Before: k.quality.PSNR, After: q.PSNR}
		if !(q.PSNR >= best-spareBound) {
			s.Removed, s.After, s.Undone = 0, s.Before, true
			k.report.Steps = append(k.report.Steps, s)
			return nil
		}
		k.report.Steps = append(k.report.Steps, s)
		k.cloud, k.quality, best = left, q, max(best, q.PSNR)
	}
	return nil
}

// dearest are the n Gaussians that change the images most, in the order of the cloud.
func (k *cleaning) dearest(n int) []int {
	by := make([]int, k.cloud.Len())
	for i := range by {
		by[i] = i
	}
	slices.SortStableFunc(by, func(a, b int) int { return cmp.Compare(k.found[b].Effect, k.found[a].Effect) })
	by = by[:min(max(1, n), len(by))]
	slices.Sort(by)
	return by
}
