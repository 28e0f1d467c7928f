package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/splatworks/splatworks/client/api"
)

// Several is the value of Trigger.Uploads for a capture of more than one file.
const Several = api.Several

// File is one file of a capture. Names have up to 200 bytes and no slashes; their order is the capture's.
type File struct {
	Name        string
	ContentType string // default: detected from the content, later
	Content     io.ReaderAt
	Size        int64
}

// filesPerCall is how many links the service makes in one call.
const filesPerCall = 100

// UploadSeveral uploads the files of a request that was asked for with Uploads "several", one after another, and then says
// that the capture is complete: these files and no others. A file that is there already is not sent again, so the whole may
// be repeated after an error. progress, when not nil, gets the number of bytes of all files that the storage has.
func (c *Client) UploadSeveral(ctx context.Context, token string, files []File, progress func(sent, total int64)) (*Status, error) {
	total, before := int64(0), int64(0)
	var complete api.Complete
	for _, f := range files {
		total += f.Size
		complete.Names = append(complete.Names, f.Name)
	}
	for at := 0; at < len(files); at += filesPerCall {
		batch := files[at:min(at+filesPerCall, len(files))]
		var ask api.UploadsAsked
		for _, f := range batch {
			ask.Files = append(ask.Files, api.File{Name: f.Name, Size: max(f.Size, 1), ContentType: f.ContentType}) // 0 would say unknown
		}
		var links api.Uploads
		err := c.post(ctx, "/uploads", token, ask, &links)
		if problem := (*Problem)(nil); errors.As(err, &problem) && problem.Code == "already_begun" {
			break // an earlier try got as far as this, and its answer was lost
		}
		if err != nil {
			return nil, fmt.Errorf("ask for uploads: %w", err)
		}
		if len(links.Uploads) != len(batch) {
			return nil, fmt.Errorf("ask for uploads: %d links for %d files", len(links.Uploads), len(batch))
		}
		for i, f := range batch {
			err := c.Upload(ctx, links.Uploads[i].Upload, f.Content, f.Size, func(sent, _ int64) {
				if progress != nil {
					progress(before+sent, total)
				}
			})
			// 412: the precondition that the object does not exist fails, since an earlier try brought it.
			if problem := (*Problem)(nil); err != nil && (!errors.As(err, &problem) || problem.Status != http.StatusPreconditionFailed) {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			before += f.Size
		}
	}
	var s Status
	if err := c.post(ctx, "/uploads/complete", token, complete, &s); err != nil {
		return nil, fmt.Errorf("complete uploads: %w", err)
	}
	return &s, nil
}

// post sends a document with the token and reads the answer into v.
func (c *Client) post(ctx context.Context, path, token string, document, v any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	r, err := c.request(ctx, http.MethodPost, path, token, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	_, err = c.call(r, http.StatusOK, v)
	return err
}
