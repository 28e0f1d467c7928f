// Package cost computes what a deployment costs from a table of list prices: a reconstruction, and a month in which nobody
// asks for one. It knows Google's prices and the sizes that terraform gives the stages, and measures nothing itself.
// docs/operations.md holds its output, and a test keeps it there.
package cost

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// Price is a list price in USD with its source: what was read, or "from memory" for a figure to check before it is relied on.
type Price struct {
	Name, Unit string
	USD        float64
	Source     string
}

// List prices, us-central1, autumn 2026. Other regions differ by up to a fifth.
var (
	VCPU         = Price{"vCPU, jobs and instance billing", "s", 0.000018, "Cloud Run pricing page"}
	Memory       = Price{"memory, the same", "GiB s", 0.000002, "Cloud Run pricing page"}
	L4           = Price{"L4, no zonal redundancy", "s", 0.0001867, "Cloud Billing API, 2026-08"}
	RequestVCPU  = Price{"vCPU, request billing", "s", 0.000024, "third-party summary"}
	RequestGiB   = Price{"memory, request billing", "GiB s", 0.0000025, "third-party summary"}
	Requests     = Price{"Cloud Run requests", "million", 0.40, "third-party summary"}
	RedisBasic   = Price{"Memorystore for Redis, Basic, 1 GiB", "GiB h", 0.049, "from memory"}
	RedisHA      = Price{"Memorystore for Redis, Standard, 1 GiB", "GiB h", 0.064, "from memory"}
	ValkeyNano   = Price{"Memorystore for Valkey, shared-core-nano", "node h", 0.0318, "third-party summary"}
	Storage      = Price{"Cloud Storage, Standard, regional", "GiB month", 0.020, "from memory"}
	Images       = Price{"Artifact Registry", "GiB month", 0.10, "from memory"}
	Secret       = Price{"Secret Manager, active version in one region", "month", 0.06, "from memory"}
	Scheduler    = Price{"Cloud Scheduler job", "month", 0.10, "from memory; three are free"}
	AlertPolicy  = Price{"alert condition", "month", 0.10, "from memory"}
	StorageWrite = Price{"Cloud Storage writes (class A)", "1000", 0.005, "from memory"}
	SmallMachine = Price{"e2-micro, the queue's own machine", "h", 0.00838, "from memory; one is free in us-central1, us-east1 and us-west1"}
	SmallDisk    = Price{"disk, pd-standard", "GiB month", 0.04, "from memory; 30 GiB are free there, too"}
	BuildMinute  = Price{"Cloud Build, e2-highcpu-8", "min", 0.016, "from memory"}
)

// Prices is all of them, in the order in which they are printed.
func Prices() []Price {
	return []Price{VCPU, Memory, L4, RequestVCPU, RequestGiB, Requests, RedisBasic, RedisHA, ValkeyNano, Storage, Images, Secret, Scheduler, AlertPolicy, StorageWrite, SmallMachine, SmallDisk, BuildMinute}
}

// Machine is what a job's instance is billed as.
type Machine struct {
	VCPU, MemoryGiB float64
	L4              bool
}

// PerSecond in USD.
func (m Machine) PerSecond() float64 {
	usd := m.VCPU*VCPU.USD + m.MemoryGiB*Memory.USD
	if m.L4 {
		usd += L4.USD
	}
	return usd
}

// Stage is one stage of a reconstruction: what runs it, and how long.
type Stage struct {
	Name      string
	Machine   Machine
	Work      Work
	Continues bool // in the execution of the stage before
}

// Work is how long a stage takes. CPUS are processor seconds that spread over the machine's processors with Efficiency;
// WallS are seconds that no processor shortens, such as a training budget.
type Work struct {
	CPUS, WallS float64
}

const (
	// Efficiency is the share of a machine's processors that a stage keeps busy while it computes; measured on two cores
	// the stages reach 0.8 to 0.95, and more cores do worse.
	Efficiency = 0.5
	// OverheadS is added to every execution: instance start, the way into the private network (20 to 60 s are reported, a
	// minute or more is documented), transfer of inputs and outputs, the look for a next task.
	OverheadS = 60
	// MinimumS is the least time that an execution is billed for. Google's page was not conclusive: the cautious reading.
	MinimumS = 60
)

// Seconds that the stage is billed for when its execution serves one request alone.
func (s Stage) Seconds() float64 {
	works := s.Work.WallS + s.Work.CPUS/(s.Machine.VCPU*Efficiency)
	if s.Continues {
		return works
	}
	return math.Max(MinimumS, works+OverheadS)
}

// USD of one such execution.
func (s Stage) USD() float64 { return s.Seconds() * s.Machine.PerSecond() }

// EventsUSD is what the receivers, functions and events of one request cost: a second of a 1 vCPU, 512 MiB instance for
// each call (trigger, a receiver for each stage, notify, three polls), fifty object writes.
func EventsUSD() float64 {
	const objectWrites = 50
	calls := float64(1 + len(pipeline.Stages()) + 1 + 3)
	return calls*(RequestVCPU.USD+0.5*RequestGiB.USD+Requests.USD/1e6) + objectWrites*StorageWrite.USD/1000
}

// StorageUSD is a month of what one request leaves, in GiB.
func StorageUSD(gib float64) float64 { return gib * Storage.USD }

// Item is a line of the monthly bill of a backend that nobody uses.
type Item struct {
	Name string
	USD  float64
}

const hoursAMonth = 730

// Idle is that bill. imageGiB is what the image repository holds, cacheGiB the layers of earlier builds.
func Idle(redis Item, imageGiB, cacheGiB float64, alerts, secrets int) []Item {
	// The reaper's call each minute: 100 ms of the smallest instance, which is what Cloud Run rounds up to.
	const ticks, tickS = 60 * hoursAMonth, 0.1
	return []Item{
		redis,
		{fmt.Sprintf("images, %.1f GiB", imageGiB), imageGiB * Images.USD},
		{fmt.Sprintf("build cache, %.1f GiB; deleted two weeks after the last build", cacheGiB), cacheGiB * Images.USD},
		{"reaper: scheduler job", Scheduler.USD},
		{"reaper: a call each minute", ticks * (tickS*(RequestVCPU.USD+0.5*RequestGiB.USD) + Requests.USD/1e6)},
		{"alerts, 7 or 8 conditions", float64(alerts) * AlertPolicy.USD},
		{"secrets, 1 or 2", float64(secrets) * Secret.USD},
		{"services, jobs, triggers, topics, empty buckets", 0},
	}
}

// Redis is the monthly price of a queue's store.
func Redis(p Price, units float64) Item {
	return Item{p.Name, p.USD * units * hoursAMonth}
}

// OwnMachine is a month of the engine vm: the machine and its disk.
func OwnMachine() Item {
	return Item{"vm", SmallMachine.USD*hoursAMonth + 10*SmallDisk.USD}
}

// Engines are the bills of an idle backend with each of the queue's stores, in the order of the table's columns. The machine
// has a second secret, and no memory alert; a server elsewhere has its own bill, and no memory alert.
func Engines() (names []string, bills [][]Item) {
	for _, engine := range []struct {
		name            string
		store           Item
		alerts, secrets int
	}{
		{"vm (dev)", OwnMachine(), Alerts - 1, 2},
		{"redis, Basic", Redis(RedisBasic, 1), Alerts, 1},
		{"redis, Standard (prod)", Redis(RedisHA, 1), Alerts, 1},
		{"valkey, nano", Redis(ValkeyNano, 1), Alerts, 1},
		{"url, without its server's bill", Item{"url", 0}, Alerts - 1, 1},
	} {
		names = append(names, engine.name)
		bills = append(bills, Idle(engine.store, ImageGiB, CacheGiB, engine.alerts, engine.secrets))
	}
	return names, bills
}

// DeploymentUSD is a deployment: the build machine for its minutes. The scanners are free.
func DeploymentUSD(minutes float64) float64 { return minutes * BuildMinute.USD }

// Total of a bill.
func Total(items []Item) float64 {
	sum := 0.0
	for _, i := range items {
		sum += i.USD
	}
	return sum
}

// BusyHourUSD is an hour in which every slot of a first deployment is taken: the most that it can cost.
func BusyHourUSD() float64 {
	sum := 0.0
	for stage, n := range slots {
		sum += 3600 * float64(n) * sizes[stage].PerSecond()
	}
	return sum
}

// Print writes the tables of docs/operations.md.
func Print(w io.Writer) error {
	p := printer{w: w}
	p.linef("| stage | machine | work | billed s | USD |")
	p.linef("| --- | --- | --- | ---: | ---: |")
	for _, plan := range Plans() {
		sum := 0.0
		for _, s := range plan.Stages {
			gpu := ""
			if s.Machine.L4 {
				gpu = ", L4"
			}
			continues := ""
			if s.Continues {
				continues = ", the same execution"
			}
			p.linef("| %s: %s%s | %.0f vCPU, %.0f GiB%s | %s | %.0f | %.4f |", plan.Name, s.Name, continues, s.Machine.VCPU, s.Machine.MemoryGiB, gpu, s.Work, s.Seconds(), s.USD())
			sum += s.USD()
		}
		p.linef("| %s: receivers, functions, events | | | | %.4f |", plan.Name, EventsUSD())
		p.linef("| %s: a month of %.1f GiB left behind | | | | %.4f |", plan.Name, plan.LeftGiB, StorageUSD(plan.LeftGiB))
		p.linef("| **%s: one reconstruction** | | | | **%.3f** |", plan.Name, sum+EventsUSD()+StorageUSD(plan.LeftGiB))
	}
	p.linef("| **an hour with every slot busy, CPU** | | | 3600 | **%.2f** |", BusyHourUSD())
	p.linef("")
	names, bills := Engines()
	p.linef("| idle, a month | %s |", strings.Join(names, " | "))
	p.linef("| --- |%s", strings.Repeat(" ---: |", len(names)))
	row := func(name string, value func(bill []Item) float64, format string) {
		cells := make([]string, len(bills))
		for i, bill := range bills {
			cells[i] = fmt.Sprintf(format, value(bill))
		}
		p.linef("| %s | %s |", name, strings.Join(cells, " | "))
	}
	for i, item := range bills[0] {
		name := item.Name
		if i == 0 {
			name = "the queue's store"
		}
		row(name, func(bill []Item) float64 { return bill[i].USD }, "%.2f")
	}
	row("**sum**", Total, "**%.2f**")
	p.linef("")
	p.linef("| a deployment | minutes | USD |")
	p.linef("| --- | ---: | ---: |")
	p.linef("| the first: everything built, store and grants waited for | %d | %.2f |", FirstBuildMin, DeploymentUSD(FirstBuildMin))
	p.linef("| a later one: layers cached | %d | %.2f |", LaterBuildMin, DeploymentUSD(LaterBuildMin))
	p.linef("")
	p.linef("| price | USD | a | source |")
	p.linef("| --- | ---: | --- | --- |")
	for _, price := range Prices() {
		p.linef("| %s | %s | %s | %s |", price.Name, strconv.FormatFloat(price.USD, 'f', -1, 64), price.Unit, price.Source)
	}
	return p.err
}

func (w Work) String() string {
	switch {
	case w.CPUS == 0:
		return fmt.Sprintf("%.0f s", w.WallS)
	case w.WallS == 0:
		return fmt.Sprintf("%.0f CPU s", w.CPUS)
	}
	return fmt.Sprintf("%.0f s + %.0f CPU s", w.WallS, w.CPUS)
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
