package trainer

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"slices"
	"testing"
)

// TestPairsAreThePhotographAndTheSplat: each pair is where it says, the photograph on the left, and no picture reaches into another.
func TestPairsAreThePhotographAndTheSplat(t *testing.T) {
	d := synthetic(17, 96, 72)
	cfg := testConfig(10)
	cloud := syntheticCloud()
	for i := range cloud.DC {
		cloud.DC[i] *= 0.7 // to tell the splat from the photograph
	}
	q, err := Evaluate(cloud, d.Test, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	pairs, err := WritePairs(&b, cloud, d.Test, q, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if *sceneView != "" {
		if err := os.WriteFile(*sceneView+"/pairs.jpg", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sheet, err := jpeg.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(pairs) != len(d.Test) {
		t.Fatalf("%d pairs of %d views", len(pairs), len(d.Test))
	}
	for _, p := range pairs {
		if p.Width != 96 || p.Height != 72 || p.Y%pairAlign != 0 || p.X%pairAlign != 0 {
			t.Errorf("%+v", p)
		}
		pic := viewNamed(d.Test, p.Name)
		photo, drawn := pic.Image(), render(cloud, &pic.Camera, &cfg)
		left, right := area(sheet, 0, p.Y, p), area(sheet, p.X, p.Y, p)
		if own, other := off(left, photo), off(left, drawn); !(own < 4 && own < other/2) {
			t.Errorf("%s: on the left the photograph is off by %.1f, the splat by %.1f", p.Name, own, other)
		}
		if own, other := off(right, drawn), off(right, photo); !(own < 4 && own < other/2) {
			t.Errorf("%s: on the right the splat is off by %.1f, the photograph by %.1f", p.Name, own, other)
		}
	}
	if _, err := WritePairs(&b, cloud, nil, &Quality{}, &cfg); err == nil {
		t.Error("nothing measured: want an error")
	}
}

func TestSpreadHoldsWorstAndBest(t *testing.T) {
	var views []ViewQuality
	for i := range 31 {
		views = append(views, ViewQuality{Name: fmt.Sprintf("%02d", i), PSNR: float64((i * 7) % 31)})
	}
	chosen := spread(views, 6)
	of := func(psnr float64) bool {
		return slices.ContainsFunc(chosen, func(v ViewQuality) bool { return v.PSNR == psnr })
	}
	byName := slices.IsSortedFunc(chosen, func(a, b ViewQuality) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	if len(chosen) != 6 || !of(0) || !of(30) || !byName {
		t.Errorf("%+v", chosen)
	}
	if len(spread(views[:2], 6)) != 2 || len(spread(nil, 6)) != 0 {
		t.Error("of few all are taken")
	}
}

func area(sheet image.Image, x, y int, p Pair) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, p.Width, p.Height))
	for j := range p.Height {
		for i := range p.Width {
			img.Set(i, j, sheet.At(x+i, y+j))
		}
	}
	return img
}

// off is the mean difference of two pictures of one size, in 255ths of a channel.
func off(a, b image.Image) float64 {
	sum, n := 0.0, 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p, q := color.NRGBAModel.Convert(a.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(b.At(x, y)).(color.NRGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				sum += float64(max(d, -d))
				n++
			}
		}
	}
	return sum / float64(n)
}
