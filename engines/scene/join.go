package scene

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// A mapper leaves several models of one capture where too little holds them together. Some of them share images, and features of
// these that both have triangulated: places that are known in both worlds.

const (
	joinTrials   = 500
	joinInliers  = 20   // pairs of points that must agree on the similarity
	joinPart     = 0.4  // of all pairs that must
	joinDistance = 0.02 // of the distance at which images see points, within which a pair agrees
	joinAngleDeg = 5    // within which a shared image must have been placed alike
)

// Join brings a second model of the same images into the world of a first and makes them one. Both must come of one database:
// images have the same ids, and features the same order. An error says why they cannot be joined; neither model is changed.
func Join(first, second *Reconstruction) (*Reconstruction, error) {
	pairs := sharedPoints(first, second)
	s, inliers, err := alignPoints(pairs, joinDistance*first.viewDistance())
	if err != nil {
		return nil, err
	}
	moved := second.Moved(s)
	shared, alike := 0, 0
	for i := range moved.Images {
		if im := first.Image(moved.Images[i].ImageID); im != nil {
			shared++
			if RotationAngleDeg(im.CamFromWorld.Matrix(), moved.Images[i].CamFromWorld.Matrix()) <= joinAngleDeg {
				alike++
			}
		}
	}
	if 2*alike <= shared {
		return nil, fmt.Errorf("joining models: %d of %d shared images are placed alike", alike, shared)
	}
	same := make(map[uint64]uint64, len(inliers))
	for _, p := range inliers {
		same[p.second] = p.first
	}
	j := joining{out: first.copied(), same: same}
	j.addImages(first, moved)
	j.addPoints(moved)
	return j.out, nil
}

// pointPair is one place in both worlds.
type pointPair struct {
	first, second uint64 // ids
	to, from      [3]float64
}

// sharedPoints pairs the points that were triangulated from the same feature of the same image.
func sharedPoints(first, second *Reconstruction) []pointPair {
	byFeature := make(map[TrackElement]*Point3D)
	for i := range first.Points3D {
		for _, e := range first.Points3D[i].Track {
			byFeature[e] = &first.Points3D[i]
		}
	}
	var pairs []pointPair
	for i := range second.Points3D {
		p := &second.Points3D[i]
		for _, e := range p.Track {
			if q := byFeature[e]; q != nil {
				pairs = append(pairs, pointPair{q.Point3DID, p.Point3DID, q.XYZ, p.XYZ})
				break
			}
		}
	}
	return pairs
}

// alignPoints finds the similarity that takes most pairs from one world to the other, some of which are wrong (RANSAC: Fischler
// and Bolles, CACM 24(6), 1981).
func alignPoints(pairs []pointPair, within float64) (Similarity, []pointPair, error) {
	if len(pairs) < joinInliers {
		return Similarity{}, nil, fmt.Errorf("joining models: they share %d points, at least %d are needed", len(pairs), joinInliers)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var best []pointPair
	for range joinTrials {
		some := []pointPair{pairs[rng.IntN(len(pairs))], pairs[rng.IntN(len(pairs))], pairs[rng.IntN(len(pairs))]}
		if s, err := similarityOf(some); err == nil {
			if agreeing := agreeingWith(s, pairs, within); len(agreeing) > len(best) {
				best = agreeing
			}
		}
	}
	if len(best) < joinInliers || float64(len(best)) < joinPart*float64(len(pairs)) {
		return Similarity{}, nil, fmt.Errorf("joining models: %d of %d shared points agree on where the one is in the other", len(best), len(pairs))
	}
	s, err := similarityOf(best)
	if err != nil {
		return s, nil, fmt.Errorf("joining models: %w", err)
	}
	return s, agreeingWith(s, pairs, within), nil
}

func similarityOf(pairs []pointPair) (Similarity, error) {
	src, dst := make([][3]float64, len(pairs)), make([][3]float64, len(pairs))
	for i, p := range pairs {
		src[i], dst[i] = p.from, p.to
	}
	return align(src, dst, make([][3][3]float64, len(pairs)))
}

func agreeingWith(s Similarity, pairs []pointPair, within float64) []pointPair {
	var agreeing []pointPair
	for _, p := range pairs {
		if norm(sub(s.Apply(p.from), p.to)) <= within {
			agreeing = append(agreeing, p)
		}
	}
	return agreeing
}

// copied is a copy whose images, features, points and tracks may be changed.
func (r *Reconstruction) copied() *Reconstruction {
	out := &Reconstruction{Cameras: slices.Clone(r.Cameras), Images: slices.Clone(r.Images), Points3D: slices.Clone(r.Points3D)}
	for i := range out.Images {
		out.Images[i].Points2D = slices.Clone(out.Images[i].Points2D)
	}
	for i := range out.Points3D {
		out.Points3D[i].Track = slices.Clone(out.Points3D[i].Track)
	}
	return out
}

// joining adds a model to another in whose world it is.
type joining struct {
	out  *Reconstruction
	same map[uint64]uint64 // points of the second that are ones of the first
}

// addImages adds the images that the first model does not have. Where a camera was calibrated otherwise in the second model, its
// images keep that calibration under another id.
func (j *joining) addImages(first, second *Reconstruction) {
	next := uint32(0)
	for i := range j.out.Cameras {
		next = max(next, j.out.Cameras[i].CameraID)
	}
	ids := make(map[uint32]uint32)
	for i := range second.Images {
		im := second.Images[i]
		if first.Image(im.ImageID) != nil {
			continue
		}
		if _, ok := ids[im.CameraID]; !ok {
			theirs := second.Camera(im.CameraID)
			ids[im.CameraID] = im.CameraID
			if ours := first.Camera(im.CameraID); theirs != nil && (ours == nil || !slices.Equal(ours.Params, theirs.Params)) {
				c := *theirs
				if ours != nil {
					next++
					c.CameraID = next
				}
				ids[im.CameraID] = c.CameraID
				j.out.Cameras = append(j.out.Cameras, c)
			}
		}
		im.CameraID = ids[im.CameraID]
		im.Points2D = slices.Clone(im.Points2D)
		for k := range im.Points2D {
			im.Points2D[k].Point3DID = InvalidPoint3DID // addPoints sets them
		}
		j.out.Images = append(j.out.Images, im)
	}
	slices.SortFunc(j.out.Cameras, func(a, b Camera) int { return cmp.Compare(a.CameraID, b.CameraID) })
	slices.SortFunc(j.out.Images, func(a, b Image) int { return cmp.Compare(a.ImageID, b.ImageID) })
}

// addPoints adds the observations that the first model does not have, to its points where these are the same.
func (j *joining) addPoints(second *Reconstruction) {
	next := uint64(0)
	for i := range j.out.Points3D {
		next = max(next, j.out.Points3D[i].Point3DID)
	}
	known := len(j.out.Points3D)
	for _, p := range second.Points3D {
		var fresh []TrackElement
		for _, e := range p.Track {
			if im := j.out.Image(e.ImageID); im != nil && int(e.Point2DIdx) < len(im.Points2D) && im.Points2D[e.Point2DIdx].Point3DID == InvalidPoint3DID {
				fresh = append(fresh, e)
			}
		}
		id, same := j.same[p.Point3DID]
		if !same && len(fresh) < 2 {
			continue
		}
		if same {
			at, _ := slices.BinarySearchFunc(j.out.Points3D[:known], id, func(q Point3D, id uint64) int { return cmp.Compare(q.Point3DID, id) })
			q := &j.out.Points3D[at]
			q.Track = append(q.Track, fresh...)
		} else {
			next++
			id = next
			p.Point3DID, p.Track = id, fresh
			j.out.Points3D = append(j.out.Points3D, p)
		}
		for _, e := range fresh {
			j.out.Image(e.ImageID).Points2D[e.Point2DIdx].Point3DID = id
		}
	}
}
