package stage

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

// MachineMemory is the memory that this process and its children may use, in bytes: the container's limit or else the
// machine's memory; 0 when neither is known.
func MachineMemory() int64 {
	machine := int64(0)
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		machine = memTotal(info)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// "max", and in version 1 a number near 2^63, say that there is no limit.
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit > 0 && (machine == 0 || limit < machine) {
			return limit
		}
	}
	return machine
}

// memTotal reads the first field of /proc/meminfo.
func memTotal(info []byte) int64 {
	for lines := bufio.NewScanner(bytes.NewReader(info)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
