package redisq_test
import ("testing";"fmt";"github.com/splatworks/splatworks/queue")
func TestMem(t *testing.T) {
	testing.Benchmark(func(b *testing.B) {
	m := newMeasurement(b, 1000000)
	m.q = open(b, m.client, queue.Config{})
	before := info(b, m.client, "used_memory")
	m.fillOurs()
	fmt.Println("bytes", (info(b, m.client, "used_memory")-before)/1000000)
	})
}
