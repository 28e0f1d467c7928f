package reconstruct

import (
	"context"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/folder"
	"github.com/splatworks/splatworks/internal/story"
)

// Story of the reconstruction so far.
func (r *Reconstruction) Story(ctx context.Context) (*story.Story, error) {
	return story.Reader{Store: r.store, Buckets: r.buckets, Queue: r.queue, Now: r.Now}.Read(ctx, r.Request.ID)
}

// Story is that of the reconstruction in a folder, which may be at work. story.ErrUnknown when there is none.
func Story(ctx context.Context, dir string, now func() time.Time) (*story.Story, error) {
	store := folder.New(filepath.Join(dir, storeFolder), now)
	for o, err := range store.List(ctx, buckets().Artifacts, artifacts.RequestPrefix) {
		if err != nil {
			return nil, err
		}
		if id, ok := artifacts.RecordOf(o.Name); ok {
			return story.Reader{Store: store, Buckets: buckets(), Now: now}.Read(ctx, id)
		}
	}
	return nil, story.ErrUnknown
}
