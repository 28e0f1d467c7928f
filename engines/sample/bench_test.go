package sample

import "testing"

// BenchmarkFrame draws one frame of the default size; the whole default capture is 60 of them.
func BenchmarkFrame(b *testing.B) {
	c, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		c.Frame(i % 60)
	}
	b.ReportMetric(float64(c.options.Width*c.options.Height*antialias*antialias*b.N)/1e6/b.Elapsed().Seconds(), "Mrays/s")
}
