//go:build amd64 && !noasm

package simd

// nearestBlocks gives the assembly the signature of nearestPlain. It counts descriptors from its first block.
func nearestBlocks(queries *Queries, d Descriptors, first, end int, out *Nearest) {
	if first >= end {
		return
	}
	blocks := d.blocks[first*blockSize*DescriptorSize : end*blockSize*DescriptorSize]
	nearestAVX2(&queries[0][0], &blocks[0], uint64(end-first), uint64(first*blockSize), &out[0].Best[0])
}
