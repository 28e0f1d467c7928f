package simd

// Feature descriptors (SIFT's, or others of 128 bytes) are compared by their dot products, which are exact in 32 bits. A block holds
// blockSize of them, by pairs of numbers: numbers 2k and 2k+1 of each descriptor in turn.
const (
	DescriptorSize = 128 // numbers of a descriptor, 0 to 255
	blockSize      = 16  // descriptors
	numQueries     = 4
)

// Descriptors are the feature descriptors of an image, as blocks. The last block is filled up with zeros.
type Descriptors struct {
	Count  int
	blocks []int16
}

// Fill replaces the descriptors by those in rows, DescriptorSize bytes each, and keeps its memory.
func (d *Descriptors) Fill(rows []uint8) {
	d.Count = len(rows) / DescriptorSize
	size := d.Blocks() * blockSize * DescriptorSize
	if cap(d.blocks) < size {
		d.blocks = make([]int16, size)
	}
	d.blocks = d.blocks[:size]
	clear(d.blocks[max(size-blockSize*DescriptorSize, 0):])
	for i := range d.Count {
		row := rows[i*DescriptorSize : (i+1)*DescriptorSize]
		block := d.blocks[i/blockSize*blockSize*DescriptorSize:]
		lane := 2 * (i % blockSize)
		for k := 0; k < DescriptorSize; k += 2 {
			block[k*blockSize+lane], block[k*blockSize+lane+1] = int16(row[k]), int16(row[k+1])
		}
	}
}

// Blocks is the number of blocks.
func (d *Descriptors) Blocks() int { return (d.Count + blockSize - 1) / blockSize }

// Queries are descriptors to find the nearest of.
type Queries [numQueries][DescriptorSize]int16

// Set makes query j one descriptor.
func (q *Queries) Set(j int, row []uint8) {
	for k, v := range row[:DescriptorSize] {
		q[j][k] = int16(v)
	}
}

// Nearest has for each query what was found in each lane of the blocks: the largest dot product, the second largest, and the index of
// the first descriptor with the largest. Where no product is over 0 the index is not changed.
type Nearest [numQueries]struct{ Best, Second, Index [blockSize]int32 }

// Begin forgets what was found.
func (n *Nearest) Begin() { *n = Nearest{} }

// Of is what was found for query j in all lanes: the largest dot product, the second largest, 0 where there is none, and the first
// descriptor with the largest.
func (n *Nearest) Of(j int) (best, second int32, index int) {
	found := &n[j]
	for l, b := range found.Best {
		i := int(found.Index[l])
		switch {
		case b > best:
			best, second, index = b, max(best, found.Second[l]), i
		case b == best && b > 0:
			second, index = b, min(index, i)
		default:
			second = max(second, b)
		}
	}
	return best, second, index
}

// nearestPlain compares queries with the descriptors of the blocks first to end (which is not among them), and keeps in out what is nearer
// than what is there.
func nearestPlain(queries *Queries, d Descriptors, first, end int, out *Nearest) {
	for i := first * blockSize; i < end*blockSize; i++ {
		block := d.blocks[i/blockSize*blockSize*DescriptorSize:][:blockSize*DescriptorSize]
		lane := i % blockSize
		for j := range queries {
			dot := int32(0)
			for k := 0; k < DescriptorSize; k += 2 {
				at := k*blockSize + 2*lane
				dot += int32(queries[j][k])*int32(block[at]) + int32(queries[j][k+1])*int32(block[at+1])
			}
			found := &out[j]
			if dot > found.Best[lane] {
				found.Best[lane], found.Second[lane], found.Index[lane] = dot, found.Best[lane], int32(i)
			} else {
				found.Second[lane] = max(found.Second[lane], dot)
			}
		}
	}
}
