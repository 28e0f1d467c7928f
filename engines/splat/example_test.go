package splat_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/splatworks/splatworks/engines/splat"
)

// A red ball, written as SPZ and read again.
func Example() {
	ball := splat.New(1, 0, splat.Mip)
	copy(ball.Quats, []float32{1, 0, 0, 0})
	copy(ball.DC, []float32{1.77, -1.77, -1.77}) // 0.5 + C0*DC is the colour
	ball.Opacities[0] = 4                        // a logit

	var file bytes.Buffer
	format, err := splat.FormatOf("ball.spz")
	if err != nil {
		log.Fatal(err)
	}
	if err := format.Write(&file, ball); err != nil {
		log.Fatal(err)
	}
	read, err := format.Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Len(), "Gaussian, trained for", read.Mode)
	// Output: 1 Gaussian, trained for mip
}
