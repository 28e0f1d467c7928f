package stage

import (
	"math"
	"testing"
)

// TestRoom: the disk bounds what is on disk, and the memory what lies in memory, less what programs need.
func TestRoom(t *testing.T) {
	for name, c := range map[string]struct {
		free, memory int64
		inMemory     bool
		want         int64
	}{
		"a disk":                      {100 << 30, 8 << 30, false, 100 << 30},
		"memory":                      {100 << 30, 8 << 30, true, 7 << 30},
		"memory that a mount bounds":  {1 << 30, 8 << 30, true, 1 << 30},
		"memory that nobody knows of": {5 << 30, 0, true, 5 << 30},
		"too little memory":           {100 << 30, 1 << 20, true, 0},
	} {
		if got := room(c.free, c.memory, c.inMemory); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	disk, err := FolderRoom(t.TempDir(), false)
	if err != nil || disk <= 0 || disk == math.MaxInt64 {
		t.Errorf("this machine: %d, %v", disk, err)
	}
	if _, err := FolderRoom(t.TempDir()+"/missing", false); err == nil {
		t.Error("a folder that is missing has room")
	}
}
