package tool

import (
	"bufio"
	"io"
)

// maxLine is where longer lines are cut into pieces.
const maxLine = 64 << 10

// scanLines calls line for each non-empty line, ended by \n or \r or the end of the input. It reads to the end whatever
// comes.
func scanLines(r io.Reader, line func(string)) {
	in := bufio.NewReaderSize(r, 32<<10)
	var pending []byte
	flush := func() {
		if len(pending) > 0 {
			line(string(pending))
			pending = pending[:0]
		}
	}
	defer flush()
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			return
		case b == '\n' || b == '\r':
			flush()
		default:
			pending = append(pending, b)
			if len(pending) == maxLine {
				flush()
			}
		}
	}
}

// lastLines keeps the last tailLines lines, each cut to a readable length.
type lastLines struct {
	ring []string
	next int
}

func (l *lastLines) add(line string) {
	const readable = 1000
	if len(line) > readable {
		line = line[:readable] + "…"
	}
	if len(l.ring) < tailLines {
		l.ring = append(l.ring, line)
		return
	}
	l.ring[l.next] = line
	l.next = (l.next + 1) % tailLines
}

func (l *lastLines) lines() []string {
	return append(append([]string(nil), l.ring[l.next:]...), l.ring[:l.next]...)
}
