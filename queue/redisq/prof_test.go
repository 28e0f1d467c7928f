package redisq_test

import (
	"fmt"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
	"os"
	"testing"
	"time"
)

func TestProf(t *testing.T) {
	if os.Getenv("PROF") == "" {
		t.Skip()
	}
	s := redistest.Start(t)
	c := connect(t, s)
	q := open(t, c, queue.Config{LeaseFor: time.Hour})
	const n = 10000
	ids := make([]string, n)
	stat := func(what string, f func()) {
		c.ConfigResetStat(t.Context())
		f()
		out, _ := c.Info(t.Context(), "commandstats").Result()
		fmt.Println("==", what)
		fmt.Println(out)
	}
	stat("submit", func() {
		for i := range ids {
			r := queuetest.Request(time.Now(), i)
			r.ID = benchID(i)
			ids[i] = r.ID
			q.Submit(t.Context(), r)
		}
	})
	stat("enqueue", func() {
		for _, id := range ids {
			q.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: "filter", Input: queuetest.Upload(id, 1)})
		}
	})
	var ls []queue.Lease
	stat("claim", func() {
		for range ids {
			l, _ := q.Claim(t.Context(), "filter", "w", 1)
			ls = append(ls, l...)
		}
	})
	stat("complete", func() {
		for _, l := range ls {
			if err := l.Complete(t.Context(), queuetest.Manifest(l.Task().RequestID, "filter")); err != nil {
				t.Fatal(err)
			}
		}
	})
}
