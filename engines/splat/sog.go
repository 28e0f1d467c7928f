package splat

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"io"
	"math"

	encoder "github.com/gen2brain/webp"
	"golang.org/x/image/webp"
)

// PlayCanvas's SOG, version 2: a zip, stored, of meta.json and lossless WebP pictures. Texel i of each picture belongs to Gaussian
// i; the Gaussians follow a Z curve, so that the pictures compress. View-dependent colour is a palette.
// Source: github.com/playcanvas/splat-transform, src/lib/writers/write-sog.ts.

// lossless keeps the colours of transparent texels, which are data here. Method 1 takes a fifth of the default's time for a few
// per cent more bytes.
var lossless = encoder.Options{Lossless: true, Exact: true, Method: 1}

const (
	// maxSOGMember bounds what one member of a bundle may unpack to.
	maxSOGMember = 1 << 28
	// maxSOGPalette is the texels of the largest palette: 65,536 entries of 15 coefficients.
	maxSOGPalette = 65536 * 15
	// minSOGGaussians may be in a file of any size. Above that a Gaussian takes a byte at least; real files have eight and more.
	minSOGGaussians = 65536
)

type sogMeta struct {
	Version int `json:"version"`
	Asset   struct {
		Generator  string `json:"generator,omitempty"`
		RenderMode string `json:"SplatRenderMode,omitempty"`
	} `json:"asset"`
	Count int `json:"count"`
	Means struct {
		Mins  [3]float64 `json:"mins"`
		Maxs  [3]float64 `json:"maxs"`
		Files []string   `json:"files"`
	} `json:"means"`
	Scales sogBook  `json:"scales"`
	Quats  sogFiles `json:"quats"`
	SH0    sogBook  `json:"sh0"`
	SHN    *sogSHN  `json:"shN,omitempty"`
}

type (
	sogFiles struct {
		Files []string `json:"files"`
	}
	sogBook struct {
		Codebook []float32 `json:"codebook"`
		Files    []string  `json:"files"`
	}
	sogSHN struct {
		Count    int       `json:"count"`
		Bands    int       `json:"bands"`
		Codebook []float32 `json:"codebook"`
		Files    []string  `json:"files"`
	}
)

// texture is the RGBA picture of a grid of texels, not premultiplied.
type texture struct{ *image.NRGBA }

func newTexture(width, height int) texture {
	return texture{image.NewNRGBA(image.Rect(0, 0, width, height))}
}

func (t texture) set(i int, r, g, b, a byte) { copy(t.Pix[4*i:4*i+4], []byte{r, g, b, a}) }

// sogSize is the grid for n texels: a multiple of four wide and high.
func sogSize(n int) (width, height int) {
	width = max(4, int(math.Ceil(math.Sqrt(float64(n))/4))*4)
	return width, max(4, int(math.Ceil(float64(n)/float64(width)/4))*4)
}

// symlog gives positions near the origin more of the 16 bits than far ones.
func symlog(v float64) float64 { return math.Copysign(math.Log(math.Abs(v)+1), v) }
func symexp(v float64) float64 { return math.Copysign(math.Exp(math.Abs(v))-1, v) }

// WriteSOG writes a bundle: one file, about a fifteenth to a twentieth of the PLY.
func (c *Cloud) WriteSOG(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("write SOG: %w", err)
	}
	members, err := c.Picked(c.mortonOrder()).sogMembers()
	if err != nil {
		return fmt.Errorf("write SOG: %w", err)
	}
	out := zip.NewWriter(w)
	for _, m := range members {
		f, err := out.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(m.body)
		}
		if err != nil {
			return fmt.Errorf("write SOG: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write SOG: %w", err)
	}
	return nil
}

type sogPicture struct {
	name string
	texture
}

// sogPictures draws the textures of a cloud, in its order.
func (c *Cloud) sogPictures() (pictures []sogPicture, meta sogMeta) {
	n := c.Len()
	width, height := sogSize(n)
	add := func(name string) texture {
		t := newTexture(width, height)
		pictures = append(pictures, sogPicture{name, t})
		return t
	}
	meta.Version, meta.Count = 2, n
	meta.Asset.Generator, meta.Asset.RenderMode = "Splatworks", c.Mode.String()

	meansLow, meansHigh := add("means_l.webp"), add("means_u.webp")
	low, high := c.bounds()
	for axis := range 3 {
		meta.Means.Mins[axis], meta.Means.Maxs[axis] = symlog(float64(low[axis])), symlog(float64(high[axis]))
	}
	quats, scales, sh0 := add("quats.webp"), add("scales.webp"), add("sh0.webp")
	scaleBook, colourBook := codebook256(c.LogScales), codebook256(c.DC)
	parallel(n, func(from, to int) {
		for i := from; i < to; i++ {
			var v [3]uint16
			for axis := range 3 {
				if size := meta.Means.Maxs[axis] - meta.Means.Mins[axis]; size > 0 {
					v[axis] = uint16(math.Round(65535 * math.Min(1, math.Max(0, (symlog(float64(c.Means[3*i+axis]))-meta.Means.Mins[axis])/size))))
				}
			}
			meansLow.set(i, byte(v[0]), byte(v[1]), byte(v[2]), 255)
			meansHigh.set(i, byte(v[0]>>8), byte(v[1]>>8), byte(v[2]>>8), 255)
			r, g, b, a := packSOGQuat(c.unitQuat(i))
			quats.set(i, r, g, b, a)
			scales.set(i, nearest(&scaleBook, c.LogScales[3*i]), nearest(&scaleBook, c.LogScales[3*i+1]), nearest(&scaleBook, c.LogScales[3*i+2]), 255)
			sh0.set(i, nearest(&colourBook, c.DC[3*i]), nearest(&colourBook, c.DC[3*i+1]), nearest(&colourBook, c.DC[3*i+2]), toByte(255*opacity(c.Opacities[i])))
		}
	})
	meta.Means.Files = []string{"means_l.webp", "means_u.webp"}
	meta.Quats.Files = []string{"quats.webp"}
	meta.Scales = sogBook{scaleBook[:], []string{"scales.webp"}}
	meta.SH0 = sogBook{colourBook[:], []string{"sh0.webp"}}
	if c.Degree > 0 && n > 0 {
		centroids, labels, shN := c.sogPalette(width, height)
		meta.SHN = shN
		pictures = append(pictures, sogPicture{shN.Files[0], centroids}, sogPicture{shN.Files[1], labels})
	}
	return pictures, meta
}

// packSOGQuat keeps the three smaller of w x y z, and which one was dropped in alpha.
func packSOGQuat(q [4]float64) (r, g, b, a byte) {
	dropped := largest(q)
	var kept [3]byte
	at := 0
	for j, v := range q {
		if j == dropped {
			continue
		}
		if q[dropped] < 0 {
			v = -v
		}
		kept[at] = toByte(255 * (v*math.Sqrt2*0.5 + 0.5))
		at++
	}
	return kept[0], kept[1], kept[2], byte(252 + dropped)
}

// sogPaletteSize is the number of palette entries for n Gaussians: from 1,024 to 65,536.
func sogPaletteSize(n int) int {
	k := 1024
	for k < 65536 && 2*k <= n {
		k *= 2
	}
	return k
}

// sogPalette draws the palette of the view-dependent colours, 64 entries a row, and each Gaussian's entry.
func (c *Cloud) sogPalette(width, height int) (centroids, labels texture, meta *sogSHN) {
	k := RestCount(c.Degree)
	means, entry := palette(c.Rest, 3*k, sogPaletteSize(c.Len()))
	entries := len(means) / (3 * k)
	book := codebook256(means)
	centroids = newTexture(64*k, (entries+63)/64)
	for i := range entries * k {
		centroids.set(i, nearest(&book, means[3*i]), nearest(&book, means[3*i+1]), nearest(&book, means[3*i+2]), 255)
	}
	labels = newTexture(width, height)
	for i, e := range entry {
		labels.set(i, byte(e), byte(e>>8), 0, 255)
	}
	return centroids, labels, &sogSHN{Count: entries, Bands: c.Degree, Codebook: book[:], Files: []string{"shN_centroids.webp", "shN_labels.webp"}}
}

// ReadSOG reads a bundle of version 2.
func ReadSOG(r io.ReaderAt, size int64) (*Cloud, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("read SOG: %w", formatErrorf("zip: %v", err))
	}
	c, err := readSOG(func(name string) ([]byte, error) {
		f, err := archive.Open(name)
		if err != nil {
			return nil, formatErrorf("%v", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSOGMember+1))
		if err != nil || len(b) > maxSOGMember {
			return nil, formatErrorf("%s is damaged or larger than %d bytes: %v", name, maxSOGMember, err)
		}
		return b, nil
	}, size)
	if err != nil {
		return nil, fmt.Errorf("read SOG: %w", err)
	}
	return finish(c, "SOG")
}

// sogReader reads the pictures of one file.
type sogReader struct {
	open  func(name string) ([]byte, error)
	count int
	err   error
}

func readSOG(open func(name string) ([]byte, error), size int64) (*Cloud, error) {
	text, err := open(sogMetaName)
	if err != nil {
		return nil, err
	}
	var meta sogMeta
	if err := json.Unmarshal(text, &meta); err != nil {
		return nil, formatErrorf("meta.json: %v", err)
	}
	degree := 0
	if meta.SHN != nil {
		degree = meta.SHN.Bands
	}
	if meta.Version != 2 || meta.Count < 0 || meta.Count > maxPLYCount || degree < 0 || degree > MaxDegree {
		return nil, formatErrorf("version %d with %d Gaussians of degree %d: version 2 is read", meta.Version, meta.Count, degree)
	}
	if int64(meta.Count) > size+minSOGGaussians {
		return nil, formatErrorf("%d Gaussians in a file of %d bytes", meta.Count, size)
	}
	mode := Classic
	if m := meta.Asset.RenderMode; m != "" {
		if mode, err = ParseRenderMode(m); err != nil {
			return nil, formatErrorf("%v", err)
		}
	}
	s := &sogReader{open: open, count: meta.Count}
	low, high := s.texture(meta.Means.Files, 0), s.texture(meta.Means.Files, 1)
	quats, scales, sh0 := s.texture(meta.Quats.Files, 0), s.texture(meta.Scales.Files, 0), s.texture(meta.SH0.Files, 0)
	scaleBook, colourBook := s.book(meta.Scales.Codebook), s.book(meta.SH0.Codebook)
	if s.err != nil {
		return nil, s.err
	}
	c := New(meta.Count, degree, mode)
	for i := range meta.Count {
		for axis := range 3 {
			v := float64(uint16(low[4*i+axis]) | uint16(high[4*i+axis])<<8)
			c.Means[3*i+axis] = float32(symexp(meta.Means.Mins[axis] + v/65535*(meta.Means.Maxs[axis]-meta.Means.Mins[axis])))
			c.LogScales[3*i+axis] = scaleBook[scales[4*i+axis]]
			c.DC[3*i+axis] = colourBook[sh0[4*i+axis]]
		}
		c.Opacities[i] = logit(float64(sh0[4*i+3]) / 255)
		q, ok := unpackSOGQuat(quats[4*i : 4*i+4])
		if !ok {
			return nil, formatErrorf("rotation of Gaussian %d is not coded", i)
		}
		for j, v := range q {
			c.Quats[4*i+j] = float32(v)
		}
	}
	if degree > 0 {
		if err := s.palette(meta.SHN, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func unpackSOGQuat(texel []byte) (q [4]float64, ok bool) {
	dropped := int(texel[3]) - 252
	if dropped < 0 {
		return q, false
	}
	at := 0
	for j := range q {
		if j != dropped {
			q[j] = (float64(texel[at])/255 - 0.5) * math.Sqrt2
			at++
		}
	}
	return withDropped(q, dropped), true
}

// texture returns the texels of file i of a list, at least one for each Gaussian.
func (s *sogReader) texture(files []string, i int) []byte {
	if s.err != nil {
		return nil
	}
	if i >= len(files) {
		s.err = formatErrorf("meta.json names too few files")
		return nil
	}
	pix, _ := s.picture(files[i])
	if s.err == nil && len(pix)/4 < s.count {
		s.err = formatErrorf("%s has %d texels for %d Gaussians", files[i], len(pix)/4, s.count)
	}
	return pix
}

func (s *sogReader) picture(name string) (pix []byte, width int) {
	body, err := s.open(name)
	if err != nil {
		s.err = err
		return nil, 0
	}
	head, err := webp.DecodeConfig(bytes.NewReader(body))
	if err == nil && head.Width*head.Height > 4*s.count+maxSOGPalette {
		err = formatErrorf("%d x %d texels for %d Gaussians", head.Width, head.Height, s.count)
	}
	var img image.Image
	if err == nil {
		img, err = webp.Decode(bytes.NewReader(body))
	}
	if err != nil {
		s.err = formatErrorf("%s: %v", name, err)
		return nil, 0
	}
	picture, ok := img.(*image.NRGBA)
	if !ok {
		picture = image.NewNRGBA(img.Bounds())
		draw.Draw(picture, picture.Bounds(), img, img.Bounds().Min, draw.Src)
	}
	return picture.Pix, picture.Bounds().Dx()
}

func (s *sogReader) book(values []float32) (book [256]float32) {
	if len(values) != len(book) && s.err == nil {
		s.err = formatErrorf("a codebook has %d values, expected 256", len(values))
	}
	copy(book[:], values)
	return book
}

// palette fills in the view-dependent colours.
func (s *sogReader) palette(meta *sogSHN, c *Cloud) error {
	labels := s.texture(meta.Files, 1)
	book := s.book(meta.Codebook)
	if s.err != nil {
		return s.err
	}
	k := RestCount(c.Degree)
	centroids, width := s.picture(meta.Files[0])
	if s.err != nil {
		return s.err
	}
	if width != 64*k || meta.Count < 0 || meta.Count > 65536 || len(centroids)/(4*k) < meta.Count {
		return formatErrorf("%s is %d texels wide and has %d entries of %d", meta.Files[0], width, len(centroids)/(4*k), meta.Count)
	}
	for i := range c.Len() {
		entry := int(labels[4*i]) | int(labels[4*i+1])<<8
		if entry >= meta.Count {
			return formatErrorf("Gaussian %d has palette entry %d of %d", i, entry, meta.Count)
		}
		for j := range k {
			for channel := range 3 {
				c.Rest[3*(k*i+j)+channel] = book[centroids[4*(entry*k+j)+channel]]
			}
		}
	}
	return nil
}
