package ptx

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// inst is a decoded instruction. Operands are places in the register file of their class.
type inst struct {
	run    func(w *warp, in *inst, lanes uint32)
	kind   kind
	d      [4]int // destinations, or the sources of a store
	a      [4]int // sources; of memory, a[0] is the address
	offset uint64 // of an address
	width  int    // values of a vector access
	target int    // of a branch
	guard  int    // predicate; -1: always
	negate bool   // of the guard
	line   int    // of the text
}

type kind uint8

const (
	ordinary kind = iota
	branch
	leave    // ret and exit
	barrier  // of the block
	warpWide // every live lane that is named must come
)

type symbol struct{ offset, size int }

// entry is a kernel.
type entry struct {
	name                  string
	params, shared        map[string]symbol
	paramSize, sharedSize int
	n32, n64, nPredicate  int            // registers
	base                  map[string]int // of a register prefix in its file
	const32               []uint32       // behind the 32-bit registers; the first are special registers
	const64               []uint64       // behind the 64-bit registers
	labels                map[string]int
	code                  []inst
	order                 []int // of the instructions, as lanes that have parted take turns
}

// Special registers, which a warp fills in.
const (
	tid = iota
	ctaid
	ntid
	nctaid
	laneid
	specials
)

var specialNames = map[string]int{"%tid.x": tid, "%ctaid.x": ctaid, "%ntid.x": ntid, "%nctaid.x": nctaid, "%laneid": laneid}

// parse reads a module: every entry with its declarations and decoded instructions.
func parse(text string) (map[string]*entry, error) {
	entries := map[string]*entry{}
	lines := strings.Split(text, "\n")
	for i := range lines {
		if k := strings.Index(lines[i], "//"); k >= 0 {
			lines[i] = lines[i][:k]
		}
		lines[i] = strings.TrimSpace(lines[i])
	}
	for i := 0; i < len(lines); i++ {
		_, name, found := strings.Cut(lines[i], ".entry ")
		if !found {
			continue
		}
		open, shut := find(lines, i, "{"), find(lines, i, "}")
		if open < 0 || shut < 0 {
			return nil, fmt.Errorf("line %d: the entry has no body", i+1)
		}
		e := &entry{
			name: strings.TrimRight(name, "( "), params: map[string]symbol{}, shared: map[string]symbol{}, base: map[string]int{},
			labels: map[string]int{}, const32: make([]uint32, specials),
		}
		for k := i + 1; k < open; k++ {
			if strings.HasPrefix(lines[k], ".param") {
				if err := declare(lines[k], 1, e.params, &e.paramSize); err != nil {
					return nil, fmt.Errorf("%s: line %d: %w", e.name, k+1, err)
				}
			}
		}
		if err := e.body(lines, open+1, shut); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		entries[e.name] = e
		i = shut
	}
	if len(entries) == 0 {
		return nil, errors.New("the module has no entry")
	}
	return entries, nil
}

func find(lines []string, from int, what string) int {
	for i := from; i < len(lines); i++ {
		if lines[i] == what {
			return i
		}
	}
	return -1
}

// sizes of types in bytes.
var sizes = map[string]int{
	"b64": 8, "u64": 8, "s64": 8, "b32": 4, "u32": 4, "s32": 4, "f32": 4, "b16": 2, "u16": 2, "s16": 2, "b8": 1, "u8": 1, "s8": 1,
}

// declare reads ".param .align 4 .b8 name[144]" or ".shared .align 16 .b8 name[64]" and gives the variable its place.
func declare(line string, leastAlign int, table map[string]symbol, total *int) error {
	fields := strings.Fields(strings.TrimRight(line, ",; "))
	size, align, name := 0, 0, ""
	for k := 1; k < len(fields); k++ {
		switch f := fields[k]; {
		case f == ".align" && k+1 < len(fields):
			align, _ = strconv.Atoi(fields[k+1])
			k++
		case f[0] == '.':
			if n := sizes[f[1:]]; n != 0 {
				size = n
			}
		default:
			name = f
		}
	}
	count := 1
	if base, rest, array := strings.Cut(name, "["); array {
		n, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
		if err != nil {
			return fmt.Errorf("declaration %q: %w", line, err)
		}
		name, count = base, n
	}
	if size == 0 || name == "" {
		return fmt.Errorf("declaration %q is not understood", line)
	}
	align = max(align, size, leastAlign)
	*total = (*total + align - 1) / align * align
	table[name] = symbol{*total, size * count}
	*total += size * count
	return nil
}

var registers = regexp.MustCompile(`^\.reg \.(\w+)\s+%(\w+)<(\d+)>;`)

// body reads the declarations, then decodes the instructions, which name labels and constants.
func (e *entry) body(lines []string, from, to int) error {
	type statement struct {
		text string
		line int
	}
	var code []statement
	for k := from; k < to; k++ {
		l := lines[k]
		switch {
		case l == "" || strings.HasPrefix(l, ".loc") || strings.HasPrefix(l, ".pragma"):
		case strings.HasPrefix(l, ".reg"):
			m := registers.FindStringSubmatch(l)
			if m == nil {
				return fmt.Errorf("line %d: %q is not understood", k+1, l)
			}
			n, _ := strconv.Atoi(m[3])
			file := &e.n32
			switch m[1] {
			case "pred":
				file = &e.nPredicate
			case "b64", "u64", "s64", "f64":
				file = &e.n64
			}
			e.base[m[2]] = *file
			*file += n
		case strings.HasPrefix(l, ".shared"):
			if err := declare(l, 16, e.shared, &e.sharedSize); err != nil {
				return fmt.Errorf("line %d: %w", k+1, err)
			}
		case strings.HasSuffix(l, ":"):
			e.labels[l[:len(l)-1]] = len(code)
		default:
			code = append(code, statement{strings.TrimSuffix(l, ";"), k + 1})
		}
	}
	for _, c := range code {
		in, err := e.decode(c.text)
		if err != nil {
			return fmt.Errorf("line %d: %q: %w", c.line, c.text, err)
		}
		in.line = c.line
		e.code = append(e.code, in)
	}
	// Whatever falls off the end leaves.
	e.code = append(e.code, inst{kind: leave, guard: -1, line: to + 1})
	e.arrange()
	return nil
}

// split divides operands at commas outside of brackets and braces.
func split(s string) (parts []string) {
	depth, from := 0, 0
	for i, c := range s {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[from:]); last != "" {
		parts = append(parts, last)
	}
	return parts
}
