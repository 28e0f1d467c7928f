package filter

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestArchiveIsNotHeldTwice: with room for what is in an archive, and none for the archive beside it, its photos are looked at;
// what unpacks to more than the room is refused, whatever its own size.
func TestArchiveIsNotHeldTwice(t *testing.T) {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 640, 480)), nil); err != nil {
		t.Fatal(err)
	}
	packed := func(method uint16, members ...[]byte) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i, m := range members {
			w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d.jpg", i), Method: method})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	two := packed(zip.Store, photo.Bytes(), photo.Bytes())
	grows := packed(zip.Deflate, append(photo.Bytes(), make([]byte, 100_000)...))
	for name, c := range map[string]struct {
		body []byte
		room int
		code string
	}{
		"room for the photos": {two, len(two), frames.TooFewPhotos}, // they were looked at
		"too little room":     {two, len(two) - 1, "upload_too_large_for_worker"},
		"it grows":            {grows, 50_000, frames.ArchiveTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := stagetest.New(t, pipeline.Options{}, Stage(Config{}))
			w.Worker.Room = func() (stage.Space, error) { return stage.Space{Free: int64(c.room), Total: int64(c.room)}, nil }
			o, err := w.Store.Put(t.Context(), w.Buckets.Inbox[pipeline.Filter], artifacts.UploadName(w.Request.ID, "input"), bytes.NewReader(c.body), artifacts.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Queue.Enqueue(t.Context(), queue.Task{RequestID: w.Request.ID, Stage: pipeline.Filter, Input: o}); err != nil {
				t.Fatal(err)
			}
			w.Work()
			s, err := w.Queue.Lookup(t.Context(), w.Request.ID)
			if err != nil {
				t.Fatal(err)
			}
			if s.Failure == nil || s.Failure.Code != c.code {
				t.Errorf("failure %+v, want %s", s.Failure, c.code)
			}
		})
	}
}
