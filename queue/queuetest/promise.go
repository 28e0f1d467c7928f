package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

func files(sizes ...int64) (list []queue.File) {
	for i, n := range sizes {
		list = append(list, queue.File{Name: fmt.Sprintf("photo %d.jpg", i), Bytes: n})
	}
	return list
}

// promise asks for room in a capture of at most 4 files and 1000 bytes.
func (b *bench) promise(r pipeline.Request, arrived, asked []queue.File) ([]int64, error) {
	return b.q.Promise(b.ctx(), queue.Promise{RequestID: r.ID, Files: asked, Arrived: arrived, MaxFiles: 4, MaxBytes: 1000})
}

func (b *bench) granted(what string, r pipeline.Request, arrived, asked []queue.File, want ...int64) {
	b.Helper()
	if got, err := b.promise(r, arrived, asked); err != nil || !slices.Equal(got, want) {
		b.Fatalf("%s: got %v, %v; want %v", what, got, err, want)
	}
}

func (b *bench) refused(what string, r pipeline.Request, arrived, asked []queue.File, want error) {
	b.Helper()
	_, err := b.promise(r, arrived, asked)
	b.is(what, err, want)
}

var promiseTests = []test{
	{"what is promised never exceeds the capture", func(b *bench) {
		r := b.submit()
		b.granted("two files", r, nil, files(600, 300), 600, 300)
		b.granted("again", r, nil, files(600, 300), 600, 300)
		b.granted("another size for a promised name", r, nil, files(999, 1), 600, 300)
		b.refused("one more", r, nil, []queue.File{{Name: "c", Bytes: 101}}, queue.ErrTooMuch)
		b.granted("a smaller one", r, nil, []queue.File{{Name: "c", Bytes: 100}}, 100)
		b.refused("nothing left to share", r, nil, []queue.File{{Name: "d"}}, queue.ErrTooMuch)
		b.granted("what is promised already", r, nil, []queue.File{{Name: "c"}}, 100)
		b.granted("another request", b.submit(), nil, files(1000), 1000)
	}},
	{"names are counted like bytes", func(b *bench) {
		r := b.submit()
		b.granted("four", r, nil, files(1, 1, 1, 1), 1, 1, 1, 1)
		b.refused("a fifth", r, nil, []queue.File{{Name: "e", Bytes: 1}}, queue.ErrTooMuch)
		other := b.submit()
		b.refused("five at once", other, nil, files(1, 1, 1, 1, 1), queue.ErrTooMuch)
		b.granted("nothing was promised to it", other, nil, files(1000), 1000)
	}},
	{"files without a size share what is left", func(b *bench) {
		r := b.submit()
		b.granted("one with and two without", r, nil, files(200, 0, 0), 200, 400, 400)
		b.refused("nothing is left", r, nil, []queue.File{{Name: "d"}}, queue.ErrTooMuch)
		arrived := []queue.File{{Name: "photo 1.jpg", Bytes: 10}, {Name: "photo 2.jpg", Bytes: 10}}
		b.granted("once they came and were smaller", r, arrived, []queue.File{{Name: "d"}}, 780)
	}},
	{"what arrived counts though it was not promised", func(b *bench) {
		r := b.submit()
		b.refused("too much", r, files(900), []queue.File{{Name: "b", Bytes: 101}}, queue.ErrTooMuch)
		b.granted("the rest", r, files(900), []queue.File{{Name: "b"}}, 100)
	}},
	{"a request that is unknown or has ended is promised nothing", func(b *bench) {
		b.refused("unknown", pipeline.Request{ID: "nobody"}, nil, files(1), queue.ErrNotFound)
		r := b.submit()
		b.must(b.q.Cancel(b.ctx(), r.ID))
		b.refused("canceled", r, nil, files(1), queue.ErrTerminal)
		late := b.submit(deadline(b.clock.Now().Add(time.Hour)))
		b.granted("in time", late, nil, files(1000), 1000)
	}},
	{"many at once are promised no more than one after the other", func(b *bench) {
		r := b.submit()
		var total, taken atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				got, err := b.promise(r, nil, []queue.File{{Name: fmt.Sprint(i), Bytes: 300}})
				if err == nil {
					total.Add(got[0])
					taken.Add(1)
				} else if !errors.Is(err, queue.ErrTooMuch) {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if total.Load() != 900 || taken.Load() != 3 {
			b.Fatalf("%d bytes in %d files", total.Load(), taken.Load())
		}
	}},
}
