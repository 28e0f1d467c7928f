# lines.awk: reads the output of `go test -v` and prints, for each package, what it skipped and why, then the runner's own
# line. Everything a failed package wrote is printed.

function skipped(line,    name, top) {
	name = line
	sub(/^ *--- SKIP: /, "", name)
	sub(/ \([0-9.]+s\)$/, "", name)
	top = name
	sub(/\/.*/, "", top)
	if (!((top, reason) in count)) order[++n] = top SUBSEP reason
	count[top, reason]++
	first[top, reason] = name
}

function start() {
	delete held; delete order; delete count; delete first
	lines = n = 0
	reason = ""
}

{ held[++lines] = $0 }

/^ +[A-Za-z0-9_]+\.go:[0-9]+: / { reason = $0; sub(/^ +[A-Za-z0-9_]+\.go:[0-9]+: /, "", reason) }

/^ *--- SKIP: / { skipped($0) }

/^(ok|\?) *\t/ {
	for (i = 1; i <= n; i++) {
		split(order[i], part, SUBSEP)
		cases = count[part[1], part[2]]
		name = cases > 1 ? part[1] " (" cases " cases)" : first[part[1], part[2]]
		printf "skip\t%s: %s\n", name, part[2]
	}
	print
	fflush()
	start()
	next
}

# FAIL with a package's name, or the last FAIL of the run.
/^FAIL/ {
	for (i = 1; i <= lines; i++) print held[i]
	fflush()
	start()
}

END { for (i = 1; i <= lines; i++) print held[i] }
