package queuetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// together runs f in n goroutines and waits for all.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

var concurrencyTests = []test{
	{"a task is claimed by one worker, whatever happens to it", func(b *bench) {
		const tasks = 400
		for range tasks {
			b.ready()
		}
		var completed sync.Map
		var double, given atomic.Int32
		complete := func(id string) {
			if _, twice := completed.LoadOrStore(id, true); twice {
				double.Add(1)
			}
		}
		together(8, func(worker int) {
			for n := 0; ; n++ {
				leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", 1+n%3)
				if err != nil {
					b.Error(err)
					return
				}
				if len(leases) == 0 {
					return
				}
				for _, l := range leases {
					id := l.Task().RequestID
					if (n+worker)%5 == 0 && given.Add(1) < 300 {
						if err := l.GiveBack(b.ctx()); err != nil {
							b.Error(err)
						}
						continue
					}
					if n%2 == 0 {
						if err := l.Complete(b.ctx(), Manifest(id, pipeline.Filter)); err != nil {
							b.Error(err)
						}
						complete(id)
						continue
					}
					for next := l; next != nil; {
						l = next
						var err error
						if next, err = l.CompleteAndClaim(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter)); err != nil {
							b.Error(err)
						}
						complete(l.Task().RequestID)
						if next != nil && rand.IntN(3) == 0 {
							if err := next.GiveBack(b.ctx()); err != nil {
								b.Error(err)
							}
							break
						}
					}
				}
			}
		})
		// A worker may leave while another holds a task that it then releases.
		leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", tasks)
		b.must(err)
		for _, l := range leases {
			b.must(l.Complete(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter)))
			complete(l.Task().RequestID)
		}
		n := 0
		completed.Range(func(any, any) bool { n++; return true })
		if n != tasks || double.Load() != 0 {
			b.Fatalf("%d of %d completed, %d of them twice", n, tasks, double.Load())
		}
	}},
	{"of one session one request is accepted", func(b *bench) {
		for range 20 {
			var accepted atomic.Int32
			requests := make([]pipeline.Request, 8)
			for i := range requests {
				requests[i] = b.request()
				requests[i].SessionID = requests[0].SessionID
			}
			together(len(requests), func(i int) {
				var duplicate *queue.DuplicateError
				switch err := b.q.Submit(b.ctx(), requests[i]); {
				case err == nil:
					accepted.Add(1)
				case !errors.As(err, &duplicate):
					b.Error(err)
				}
			})
			check(b, "accepted", accepted.Load(), nil, 1)
		}
	}},
	{"of one event delivered many times one adds the task", func(b *bench) {
		for range 20 {
			r := b.submit()
			var added atomic.Int32
			together(8, func(int) {
				ok, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: Upload(r.ID, 1)})
				if err != nil {
					b.Error(err)
				}
				if ok {
					added.Add(1)
				}
			})
			check(b, "added", added.Load(), nil, 1)
		}
	}},
	{"cancel against complete: one of them wins", func(b *bench) {
		for range 30 {
			r := b.submit()
			b.enqueue(r, pipeline.Export, Manifest(r.ID, pipeline.Train))
			l := b.claim(pipeline.Export)
			var complete, cancel error
			together(2, func(i int) {
				if i == 0 {
					complete = l.Complete(b.ctx(), Manifest(r.ID, pipeline.Export))
				} else {
					cancel = b.q.Cancel(b.ctx(), r.ID)
				}
			})
			switch s := b.state(r.ID).Status; {
			case s == pipeline.Completed && complete == nil && errors.Is(cancel, queue.ErrTerminal):
			case s == pipeline.Canceled && errors.Is(complete, queue.ErrCanceled) && cancel == nil:
			default:
				b.Fatalf("%s after complete: %v, cancel: %v", s, complete, cancel)
			}
		}
	}},
	{"slots are never more than their limit", func(b *bench) {
		var taken atomic.Int32
		together(16, func(i int) {
			ok, err := b.q.Adopt(b.ctx(), pipeline.Train, string(rune('a'+i)), 5)
			if err != nil {
				b.Error(err)
			}
			if ok {
				taken.Add(1)
			}
		})
		check(b, "slots", taken.Load(), nil, 5)
	}},
	{"several reapers do everything once", func(b *bench) {
		const n = 100
		for range n {
			b.ready()
		}
		_, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", n)
		b.must(err)
		b.clock.Advance(b.cfg.LeaseFor)
		var expired atomic.Int32
		together(6, func(int) {
			r, err := b.q.Reap(context.Background())
			if err != nil {
				b.Error(err)
			}
			expired.Add(int32(r.ExpiredLeases))
		})
		check(b, "expired", expired.Load(), nil, n)
		leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", n+1)
		check(b, "ready again", len(leases), err, n)
	}},
}
