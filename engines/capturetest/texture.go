package capturetest

// Texture is a gray picture of w by h pixels, rows from the top: smooth random blobs, about size pixels wide, with all gray levels.
func Texture(w, h, size int, seed uint64) []byte {
	pix := make([]byte, w*h)
	value := func(x, y int) float64 {
		k := (uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xbf58476d1ce4e5b9) + seed*0x94d049bb133111eb
		k ^= k >> 31
		k *= 0x7fb5d329728ea185
		k ^= k >> 27
		return float64(k>>40) / (1 << 24)
	}
	for y := range h {
		for x := range w {
			cx, cy := x/size, y/size
			fx, fy := float64(x%size)/float64(size), float64(y%size)/float64(size)
			top := value(cx, cy)*(1-fx) + value(cx+1, cy)*fx
			bottom := value(cx, cy+1)*(1-fx) + value(cx+1, cy+1)*fx
			pix[y*w+x] = byte(255 * (top*(1-fy) + bottom*fy))
		}
	}
	return pix
}
