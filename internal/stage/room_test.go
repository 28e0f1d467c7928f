package stage

import "testing"

// TestSpace: the disk bounds what is on disk, and the memory what is in memory, less what programs need.
func TestSpace(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		free, total, memory int64
		inMemory            bool
		want                Space
		crowded             bool
	}{
		"a disk":                      {60 * gib, 100 * gib, 8 * gib, false, Space{60 * gib, 100 * gib, false}, false},
		"a disk of other things":      {40 * gib, 100 * gib, 8 * gib, false, Space{40 * gib, 100 * gib, false}, true},
		"memory":                      {100 * gib, 100 * gib, 8 * gib, true, Space{7 * gib, 7 * gib, true}, false},
		"memory that a mount bounds":  {1 * gib, 1 * gib, 8 * gib, true, Space{1 * gib, 1 * gib, true}, false},
		"memory that nobody knows of": {5 * gib, 5 * gib, 0, true, Space{5 * gib, 5 * gib, true}, false},
		"too little memory":           {100 * gib, 100 * gib, 1 << 20, true, Space{InMemory: true}, false},
	} {
		if got := space(c.free, c.total, c.memory, c.inMemory); got != c.want || got.Crowded() != c.crowded {
			t.Errorf("%s: %+v, want %+v; crowded: %t", name, got, c.want, got.Crowded())
		}
	}
	disk, err := FolderSpace(t.TempDir(), false)
	if err != nil || disk.Total <= 0 || disk.Free > disk.Total {
		t.Errorf("this machine: %+v, %v", disk, err)
	}
	if _, err := FolderSpace(t.TempDir()+"/missing", false); err == nil {
		t.Error("a folder that is missing has room")
	}
}
