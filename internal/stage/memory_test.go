package stage

import "testing"

func TestMemTotal(t *testing.T) {
	if n := memTotal([]byte("MemTotal:       16384 kB\nMemFree:  1 kB\n")); n != 16<<20 {
		t.Errorf("%d bytes", n)
	}
	for _, text := range []string{"", "MemTotal:", "MemTotal: many kB"} {
		if n := memTotal([]byte(text)); n != 0 {
			t.Errorf("%q: %d bytes", text, n)
		}
	}
	if n := MachineMemory(); n < 0 {
		t.Errorf("%d bytes", n)
	}
}
