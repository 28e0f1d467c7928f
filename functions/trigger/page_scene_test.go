package trigger_test

import "math"

// scene checks what the canvas shows, that the keyboard turns it, and the modes.
func (p *person) scene() {
	p.t.Helper()
	before := p.canvas()
	above, below := before.colours(0.2, 0.45), before.colours(0.55, 0.8)
	if !(above.left[0] > 20 && above.right[1] > 20 && below.left[2] > 20 && below.right[2] > 20) || above.left[1] > above.left[0] || above.right[0] > above.right[1] {
		p.t.Errorf("the splat is not on the screen in its place: above %v, below %v", above, below)
	}
	p.Eval(`document.querySelector('.stage3d').focus()`, nil)
	for range 6 {
		p.Key("ArrowRight", 39)
	}
	turned := func() bool { return p.canvas().differs(before) }
	for range 100 {
		if turned() {
			break
		}
	}
	if !turned() {
		p.t.Error("the arrow keys do not turn the scene")
	}
	p.Click("Fly")
	p.Until(`document.querySelector('.pad') && document.querySelector('.controls [aria-pressed=true]').innerText === 'Fly'`)
	var walks bool
	if p.Eval(`[...document.querySelectorAll('.controls button')].some(e => e.innerText === 'Walk')`, &walks); walks {
		p.t.Error("there is nothing to walk on, and a button for it")
	}
	p.Click("Orbit")
	p.Click("Reset")
	p.Until(`!document.querySelector('.pad')`)
	p.measure()
}

// measure takes the width of the ball, whose radius is 0.35, between two points at its sides.
func (p *person) measure() {
	p.t.Helper()
	for last := -1.0; ; { // the view comes to rest
		now := p.canvas().colours(0.2, 0.45).left[0]
		if now == last {
			break
		}
		last = now
	}
	p.Click("Measure")
	p.Until(`document.querySelector('.measured')?.innerText.includes('first point')`)
	var box struct{ X, Y, Width, Height float64 }
	p.Eval(`(({x, y, width, height}) => ({x, y, width, height}))(document.querySelector('.stage3d canvas').getBoundingClientRect())`, &box)
	p.Press(box.X+5, box.Y+5) // beside the ball
	p.Until(`document.querySelector('.measured').innerText.includes('nothing at that place')`)
	ball := p.canvas().ball()
	p.Press(box.X+float64(ball.Min.X)+2, box.Y+float64(ball.Min.Y+ball.Max.Y)/2)
	p.Until(`document.querySelector('.measured').innerText.includes('second point')`)
	p.Press(box.X+float64(ball.Max.X)-2, box.Y+float64(ball.Min.Y+ball.Max.Y)/2)
	p.Until(`document.querySelector('.measured').innerText.includes('units of the model')`)
	var width float64
	p.Eval(`parseFloat(document.querySelector('.measured').innerText)`, &width)
	if !(width > 0.5 && width < 0.7) { // a chord a little inside of what is seen of it
		p.t.Errorf("a ball of 0.7 units is %g wide", width)
	}
	p.Until(`document.querySelector(".line line").style.visibility === "visible"`)
	p.look("measure")
	p.Eval(`document.querySelector('.stage3d').focus()`, nil)
	p.Key("Enter", 13)
	p.Until(`document.querySelector('.measured').innerText.includes('second point')`)
	p.Click("Measure")
	p.Until(`!document.querySelector('.measured, .dot')`)
}

// compare lays the splat over its photograph, by the keyboard.
func (p *person) compare() {
	p.t.Helper()
	p.Until(`document.querySelector('.compare canvas')?.width === 160 && document.querySelector('.compare').innerText.includes('24.1 dB')`)
	// red is the share that shows the photograph.
	red := func() float64 {
		h := p.part(".compare canvas").colours(0.1, 0.3)
		return (h.left[0] + h.right[0]) / (h.left[0] + h.right[0] + h.left[2] + h.right[2])
	}
	p.comesTrue("half of it is the photograph", func() bool { return math.Abs(red()-0.5) < 0.04 })
	p.Eval(`document.querySelector('.compare input[type=range]').focus()`, nil)
	p.Key("Home", 36)
	p.comesTrue("all of it is the splat", func() bool { return red() < 0.04 })
	p.Key("End", 35)
	p.comesTrue("all of it is the photograph", func() bool { return red() > 0.96 })
	p.Eval(`document.querySelector('.compare select').focus()`, nil)
	p.Key("ArrowDown", 40)
	p.Until(`document.querySelector('.compare canvas').height === 84 && document.querySelector('.compare').innerText.includes('31.3 dB')`)
	p.Eval(`document.querySelector('.compare input[type=range]').focus()`, nil)
	p.Key("PageDown", 34)
	p.Key("PageDown", 34)
}

// notes writes two, by the mouse and by the keyboard, moves the one and deletes the other; what remains is there after a reload.
func (p *person) notes() {
	p.t.Helper()
	write := func(text string) {
		p.Eval(`(i => { i.value = `+quoted(text)+`; i.dispatchEvent(new Event('input', {bubbles: true})); })(document.querySelector('.notes input'))`, nil)
		p.Click("Choose its place")
		p.Until(`document.querySelector('.viewer [role=status]')?.innerText.includes('Click the place')`)
	}
	p.canvas()
	var box struct{ X, Y, Width, Height float64 }
	middle := func() {
		p.Eval(`(e => { e.scrollIntoView({block: 'start'}); const {x, y, width, height} = e.getBoundingClientRect(); return {x, y, width, height} })(document.querySelector('.stage3d canvas'))`, &box)
		p.Press(box.X+box.Width/2, box.Y+box.Height/2)
	}
	write("First " + hostile)
	middle()
	p.Until(`document.querySelectorAll('.pin').length === 1 && document.querySelector('.notes li').innerText.includes('First <img')`)
	write("Second")
	p.Key("Enter", 13) // the scene has the focus
	p.Until(`document.querySelectorAll('.pin').length === 2`)
	p.look("notes")
	p.Eval(`document.querySelector('.notes li [aria-label^=Move]').click()`, nil)
	p.Until(`document.querySelector('.viewer [role=status]')?.innerText.includes('Click the place')`)
	var before, after string
	at := `document.querySelector('.pin').style.transform`
	p.Eval(at, &before)
	p.Eval(`document.querySelector('.stage3d canvas').scrollIntoView({block: 'start'})`, nil)
	p.Press(box.X+0.4*box.Width, box.Y+box.Height/2)
	p.comesTrue("the first is moved", func() bool { p.Eval(at, &after); return after != before })
	p.Eval(`document.querySelector('.notes li [aria-label^=Delete]').click()`, nil)
	p.Until(`document.querySelectorAll('.pin').length === 1 && !document.querySelector('.notes').innerText.includes('First')`)
	p.Reload()
	p.Until(`document.querySelectorAll('.pin').length === 1 && document.querySelector('.notes li').innerText.includes('Second')`)
}
