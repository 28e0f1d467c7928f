package splat

// Turned is the cloud in the axes of SPZ and glTF: x right, y up, z back, where COLMAP has x right, y down, z forward. Both are
// right-handed, and half a turn about x leads from either one to the other. Positions, rotations and the view-dependent colours
// turn together; a file whose colours stayed behind would show highlights on the wrong side.
func (c *Cloud) Turned() *Cloud {
	t := c.Clone()
	k := RestCount(c.Degree)
	parallel(t.Len(), func(from, to int) {
		for i := from; i < to; i++ {
			t.Means[3*i+1] = -t.Means[3*i+1]
			t.Means[3*i+2] = -t.Means[3*i+2]
			// R' = X R X with X = diag(1, -1, -1): conjugation by the quaternion (0, 1, 0, 0).
			t.Quats[4*i+2] = -t.Quats[4*i+2]
			t.Quats[4*i+3] = -t.Quats[4*i+3]
			rest := t.Rest[3*k*i : 3*k*(i+1)]
			for j := range k {
				if turnsSign[j] {
					for channel := range 3 {
						rest[3*j+channel] = -rest[3*j+channel]
					}
				}
			}
		}
	})
	return t
}

// turnsSign says which basis functions above degree 0 change their sign when y and z do: those with an odd number of y and z
// in their polynomial (docs/conventions.md, "Spherical harmonics").
var turnsSign = [15]bool{
	true, true, false, // y, z, x
	true, false, false, true, false, // xy, yz, 2z²-x²-y², xz, x²-y²
	true, false, true, true, false, true, false, // y(3x²-y²), xyz, y(4z²-..), z(2z²-..), x(4z²-..), z(x²-y²), x(x²-3y²)
}
