package gpu

// What the tests, which use an interpreter that imports this package, need of its inside.

// Scan returns the exclusive prefix sums of values, and their sum behind them.
func (e *Engine) Scan(values []uint32) ([]uint32, error) {
	in, out := e.holding(values), e.holding(make([]uint32, len(values)+1))
	e.scan(in, out, len(values), 0)
	sums := make([]uint32, len(values)+1)
	read(e, out, sums)
	return sums, e.finish()
}

// Sort returns pairs sorted by the lowest bits of the keys.
func (e *Engine) Sort(keys, values []uint32, bits int) (sortedKeys, sortedValues []uint32, err error) {
	n := len(keys)
	k, v := e.sort(e.holding(keys), e.holding(values), e.holding(keys), e.holding(values), n, bits)
	sortedKeys, sortedValues = make([]uint32, n), make([]uint32, n)
	read(e, k, sortedKeys)
	read(e, v, sortedValues)
	return sortedKeys, sortedValues, e.finish()
}

func (e *Engine) holding(values []uint32) Buffer {
	var r room
	b := e.grown(&r, 4*len(values))
	write(e, b, values)
	return b
}
