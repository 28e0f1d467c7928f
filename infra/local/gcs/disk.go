package gcs

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/infra/local/durable"
)

// disk writes files so that a crash leaves either the old or the new one.
type disk struct{ sync bool }

func (d disk) flush(f *os.File) error {
	if !d.sync {
		return nil
	}
	return f.Sync()
}

// flushDir makes renames and removals in a folder lasting.
func (d disk) flushDir(path string) error {
	if !d.sync {
		return nil
	}
	return durable.SyncDir(path)
}

// writeFile replaces path by way of a temporary file in the same folder's file system.
func (d disk) writeFile(tmpDir, path string, body []byte) error {
	if err := durable.Replace(tmpDir, path, body, d.flush); err != nil {
		return err
	}
	return d.flushDir(filepath.Dir(path))
}

func (d disk) writeJSON(tmpDir, path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.writeFile(tmpDir, path, body)
}

// stem is the file name of an object's generation. Names of objects never become paths: they may be longer than a file
// name, hold "..", or differ from each other only by a trailing slash.
func stem(name string, generation int64) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:20]), generation)
}

// sums are the two checksums that Cloud Storage keeps of every object.
type sums struct {
	crc hash.Hash32
	md5 hash.Hash
}

func newSums() sums { return sums{crc32.New(crc32.MakeTable(crc32.Castagnoli)), md5.New()} }

func (s sums) Write(p []byte) (int, error) {
	s.crc.Write(p) // hashes never fail
	s.md5.Write(p)
	return len(p), nil
}

func encodeCRC(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

func (s sums) crc32c() string  { return encodeCRC(s.crc.Sum32()) }
func (s sums) md5Hash() string { return base64.StdEncoding.EncodeToString(s.md5.Sum(nil)) }

// staged is a finished file that waits to become an object.
type staged struct {
	path            string
	size            int64
	crc32c, md5Hash string
	session         string // the resumable upload that made it, if one did
}

// copyBufferBytes bounds what an upload or a download holds in memory.
const copyBufferBytes = 256 << 10

// stage writes r to a temporary file. The caller removes it when it does not become an object.
func (s *Server) stage(r io.Reader, limit contentLengthRange) (staged, error) {
	f, err := os.CreateTemp(s.path("tmp"), "upload-*")
	if err != nil {
		return staged{}, err
	}
	sum := newSums()
	n, err := copyBody(io.MultiWriter(f, sum), r, limit)
	if err == nil {
		err = s.disk.flush(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = limit.check(n)
	}
	if err != nil {
		return staged{}, errors.Join(err, os.Remove(f.Name()))
	}
	return staged{path: f.Name(), size: n, crc32c: sum.crc32c(), md5Hash: sum.md5Hash()}, nil
}

// errBody marks that the client, not the disk, ended a copy.
type errBody struct{ error }

func (e errBody) Unwrap() error { return e.error }

// copyBody copies what a client sends and says whether the client or the disk failed.
func copyBody(w io.Writer, r io.Reader, limit contentLengthRange) (int64, error) {
	buf := make([]byte, copyBufferBytes)
	var n int64
	for {
		k, readErr := r.Read(buf)
		if n += int64(k); n > limit.most() {
			return n, errTooLarge
		}
		if _, err := w.Write(buf[:k]); err != nil {
			return n, err
		}
		if readErr == io.EOF {
			return n, nil
		}
		if readErr != nil {
			return n, errBody{readErr}
		}
	}
}
