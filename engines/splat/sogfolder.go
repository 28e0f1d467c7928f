package splat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	encoder "github.com/gen2brain/webp"
)

// A SOG is a bundle, or a folder with the same files: meta.json and pictures. Streamed SOG is a folder of such folders.

// sogMember is a file of a SOG.
type sogMember struct {
	name string
	body []byte
}

// sogMembers encodes a cloud in its order; meta.json comes last.
func (c *Cloud) sogMembers() ([]sogMember, error) {
	pictures, meta := c.sogPictures()
	members, errs := make([]sogMember, len(pictures)), make([]error, len(pictures))
	var encode sync.WaitGroup
	for i, p := range pictures {
		encode.Go(func() {
			var b bytes.Buffer
			errs[i] = encoder.Encode(&b, p.texture.NRGBA, lossless)
			members[i] = sogMember{p.name, b.Bytes()}
		})
	}
	encode.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", members[i].name, err)
		}
	}
	text, err := json.Marshal(meta)
	return append(members, sogMember{sogMetaName, text}), err
}

const sogMetaName = "meta.json"

// writeSOGFolder writes the files of a SOG into a folder, which it makes, in the order of the cloud.
func (c *Cloud) writeSOGFolder(dir string) error {
	members, err := c.sogMembers()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(dir, m.name), m.body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readSOGFolder reads the files of a SOG out of a folder.
func readSOGFolder(dir string) (*Cloud, error) {
	size := int64(0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	root, err := os.OpenRoot(dir) // names in meta.json may lead nowhere else
	if err != nil {
		return nil, err
	}
	defer root.Close()
	c, err := readSOG(func(name string) ([]byte, error) {
		info, err := root.Stat(name)
		if err != nil {
			return nil, formatErrorf("%v", err)
		}
		if !info.Mode().IsRegular() || info.Size() > maxSOGMember {
			return nil, formatErrorf("%s is no file, or larger than %d bytes", name, maxSOGMember)
		}
		return root.ReadFile(name)
	}, size)
	if err != nil {
		return nil, fmt.Errorf("read SOG: %w", err)
	}
	return finish(c, "SOG")
}
