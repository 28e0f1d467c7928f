# lines.awk: reads the output of `go test -v` and prints, for each package, what it skipped and why, then the runner's own
# line. Everything a failed package wrote is printed.

function skipped(line,    name, top, why) {
	name = line
	sub(/^ *--- SKIP: /, "", name)
	sub(/ \([0-9.]+s\)$/, "", name)
	top = name
	sub(/\/.*/, "", top)
	why = reason[name]
	if (!((top, why) in count)) order[++n] = top SUBSEP why
	count[top, why]++
	first[top, why] = name
}

function start() {
	delete held; delete order; delete count; delete first; delete reason
	lines = n = 0
}

{ held[++lines] = $0 }

/^=== (RUN|CONT|NAME) / { running = $3 }

# The last line that a test logs before it is skipped.
/^ +[A-Za-z0-9_]+\.go:[0-9]+: / { reason[running] = $0; sub(/^ +[A-Za-z0-9_]+\.go:[0-9]+: /, "", reason[running]) }

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
