package ptx

// Where lanes of a warp have parted, the group that is farthest behind runs first, so that they meet again where their ways do. Which place
// is behind which is not their order in the text: clang may write the end of a loop's body above its begin. It is an order in which a place
// comes after all that lead to it, ends of loops that lead back aside, and in which no place outside of a loop comes between those inside. A
// card's compiler has lanes meet at the same places.

// stretch is instructions without a way in or out but at its ends.
type stretch struct {
	from, to int
	next     []int // stretches
	depth    int   // loops around it
}

// arrange fills the order of the instructions.
func (e *entry) arrange() {
	list := e.stretches()
	back := backEdges(list)
	deepen(list, back)
	waits := make([]int, len(list)) // for this number of others
	for i := range list {
		for _, n := range list[i].next {
			if !back[[2]int{i, n}] {
				waits[n]++
			}
		}
	}
	e.order = make([]int, len(e.code))
	place, done := 0, make([]bool, len(list))
	for range list {
		at := -1
		for i := range list {
			if !done[i] && waits[i] == 0 && (at < 0 || list[i].depth > list[at].depth) {
				at = i
			}
		}
		done[at] = true
		for pc := list[at].from; pc < list[at].to; pc++ {
			e.order[pc] = place
			place++
		}
		for _, n := range list[at].next {
			if !back[[2]int{at, n}] {
				waits[n]--
			}
		}
	}
}

// stretches divides the code.
func (e *entry) stretches() (list []stretch) {
	begins := make([]bool, len(e.code)+1)
	begins[0], begins[len(e.code)] = true, true
	for pc := range e.code {
		switch in := &e.code[pc]; in.kind {
		case branch:
			begins[in.target], begins[pc+1] = true, true
		case leave:
			begins[pc+1] = true
		}
	}
	of := make([]int, len(e.code)) // the stretch that an instruction is in
	for pc := range e.code {
		if begins[pc] {
			list = append(list, stretch{from: pc})
		}
		of[pc] = len(list) - 1
		list[of[pc]].to = pc + 1
	}
	for i := range list {
		last := &e.code[list[i].to-1]
		if last.kind == branch {
			list[i].next = append(list[i].next, of[last.target])
		}
		if goesOn := last.guard >= 0 || last.kind != branch && last.kind != leave; goesOn && i+1 < len(list) {
			list[i].next = append(list[i].next, i+1)
		}
	}
	return list
}

// backEdges are the ways that lead back to a stretch which was passed: those of loops.
func backEdges(list []stretch) map[[2]int]bool {
	back := map[[2]int]bool{}
	const unseen, open, closed = 0, 1, 2
	state := make([]int, len(list))
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		for _, n := range list[i].next {
			switch state[n] {
			case open:
				back[[2]int{i, n}] = true
			case unseen:
				visit(n)
			}
		}
		state[i] = closed
	}
	for i := range list { // the first, then what nothing reaches
		if state[i] == unseen {
			visit(i)
		}
	}
	return back
}

// deepen counts the loops around each stretch.
func deepen(list []stretch, back map[[2]int]bool) {
	before := make([][]int, len(list))
	for i := range list {
		for _, n := range list[i].next {
			before[n] = append(before[n], i)
		}
	}
	loops := map[int]map[int]bool{} // by the stretch they begin with
	for edge := range back {
		last, first := edge[0], edge[1]
		if loops[first] == nil {
			loops[first] = map[int]bool{first: true}
		}
		inside, left := loops[first], []int{last}
		for len(left) > 0 {
			i := left[len(left)-1]
			left = left[:len(left)-1]
			if !inside[i] {
				inside[i] = true
				left = append(left, before[i]...)
			}
		}
	}
	for _, inside := range loops {
		for i := range inside {
			list[i].depth++
		}
	}
}
