package trigger_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/mesh"
	"github.com/splatworks/splatworks/web/chromium"
)

// board is a square of a unit at the origin that faces the first camera: yellow on the left, cyan on the right.
func board() *mesh.Textured {
	picture := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			picture.SetNRGBA(x, y, map[bool]color.NRGBA{true: {200, 200, 0, 255}, false: {0, 200, 200, 255}}[x < 32])
		}
	}
	return &mesh.Textured{
		Mesh: &mesh.Mesh{Vertices: [][3]float64{{-.5, -.5, 0}, {.5, -.5, 0}, {.5, .5, 0}, {-.5, .5, 0}}, Faces: [][3]int32{{0, 2, 1}, {0, 3, 2}}},
		UV:   [][2]float32{{0, 0}, {1, 0}, {1, 1}, {0, 1}}, Corners: [][3]int32{{0, 2, 1}, {0, 3, 2}}, Texture: picture,
	}
}

// TestPageShowsTheMeshAndMetres: the mesh in the place of the splat, in its own colours, and the splat again, whose sizes are in metres.
func TestPageShowsTheMeshAndMetres(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is no short test")
	}
	w, address, _ := newPageWorld(t)
	var surface bytes.Buffer
	if err := board().WriteGLB(&surface, "metre"); err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, Tab: chromium.Open(t, address, 375, 812, true)}
	p.open(address, w.result(leaving{cloud: quarters(), metres: true, more: map[artifacts.Kind][]byte{artifacts.Mesh: surface.Bytes()}}), "A board")
	// onBoard: yellow has red and green, cyan green and blue, and both halves of the picture show theirs alone.
	onBoard := func() bool {
		h := p.canvas().colours(0.4, 0.6)
		near := func(got, want float64) bool { return math.Abs(got-want) < 20 }
		return near(h.left[0], 200) && near(h.left[1], 200) && near(h.left[2], 0) && near(h.right[0], 0) && near(h.right[1], 200) && near(h.right[2], 200)
	}
	p.Click("Mesh")
	p.Until(`document.querySelector('.controls [aria-pressed=true] ~ [aria-pressed=true]')?.innerText === 'Mesh'`)
	p.comesTrue(fmt.Sprintf("the mesh is on the screen in its colours, %v", p.canvas().colours(0.4, 0.6)), onBoard)
	p.Until(`![...document.querySelectorAll('.controls button')].some(e => e.innerText === 'Measure')`)
	p.look("mesh")
	p.Click("Mesh")
	p.comesTrue("the splat is on the screen", func() bool {
		above := p.canvas().colours(0.2, 0.45)
		return !onBoard() && above.left[0] > 20 && above.right[1] > 20 && above.right[2] < 5
	})

	p.Click("Measure")
	ball, box := p.canvas().ball(), p.box(".stage3d canvas")
	p.Press(box.X+float64(ball.Min.X+ball.Dx()/5), box.Y+float64(ball.Min.Y+ball.Max.Y)/2)
	p.Until(`document.querySelector('.measured').innerText.includes('second point')`)
	p.Press(box.X+float64(ball.Max.X-ball.Dx()/5), box.Y+float64(ball.Min.Y+ball.Max.Y)/2)
	p.Until(`/^\d+ cm$/.test(document.querySelector('.measured').innerText) && document.querySelector('.sofar').innerText.includes('By the GPS positions')`)
	var width float64
	p.Eval(`parseFloat(document.querySelector('.measured').innerText)`, &width)
	if !(width > 30 && width < 50) { // three fifths of what is seen of a ball of 70 cm
		t.Errorf("three fifths of a ball of 70 cm are %g cm", width)
	}
	for _, fault := range p.Faults() {
		t.Errorf("console: %s", fault)
	}
}
