package gcs

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// conditions are the preconditions of a request (documentation, "Request preconditions"). nil: not asked for.
type conditions struct {
	GenerationMatch, GenerationNotMatch         *int64 `json:",omitempty"` // match 0: no live object
	MetagenerationMatch, MetagenerationNotMatch *int64 `json:",omitempty"`
}

// queryConditions reads those of the JSON API; prefix is "" or "Source" (of a copy).
func queryConditions(q url.Values, prefix string) (conditions, error) {
	return parseConditions(func(name string) string { return q.Get("if" + prefix + name) })
}

// headerConditions reads those of the XML API, which has only the matching kind.
func headerConditions(h http.Header) (conditions, error) {
	return parseConditions(func(name string) string {
		return h.Get(map[string]string{"GenerationMatch": "x-goog-if-generation-match",
			"MetagenerationMatch": "x-goog-if-metageneration-match"}[name])
	})
}

func parseConditions(get func(name string) string) (c conditions, err error) {
	for name, field := range map[string]**int64{
		"GenerationMatch": &c.GenerationMatch, "GenerationNotMatch": &c.GenerationNotMatch,
		"MetagenerationMatch": &c.MetagenerationMatch, "MetagenerationNotMatch": &c.MetagenerationNotMatch,
	} {
		text := get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return c, invalid("if%s %q is no generation", name, text)
		}
		*field = &n
	}
	return c, nil
}

// check compares with the live object; a missing one has generation and metageneration 0. reading turns a failed
// "not match" into 304, as both APIs do for GET and HEAD.
func (c conditions) check(o Object, reading bool) error {
	switch {
	case c.GenerationMatch != nil && *c.GenerationMatch != o.Generation:
		return unmet("ifGenerationMatch")
	case c.MetagenerationMatch != nil && *c.MetagenerationMatch != o.Metageneration:
		return unmet("ifMetagenerationMatch")
	case c.GenerationNotMatch != nil && *c.GenerationNotMatch == o.Generation:
		if reading {
			return errNotModified
		}
		return unmet("ifGenerationNotMatch")
	case c.MetagenerationNotMatch != nil && *c.MetagenerationNotMatch == o.Metageneration:
		if reading {
			return errNotModified
		}
		return unmet("ifMetagenerationNotMatch")
	}
	return nil
}

// expected are checksums that a client declared, in base64; empty: not declared.
type expected struct {
	CRC32C  string `json:",omitempty"`
	MD5Hash string `json:",omitempty"`
}

// declare adds what the headers say: x-goog-hash: crc32c=...,md5=... (possibly repeated) and Content-MD5.
func (e *expected) declare(h http.Header) {
	for _, line := range h.Values("X-Goog-Hash") {
		for pair := range strings.SplitSeq(line, ",") {
			switch name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); name {
			case "crc32c":
				e.CRC32C = value
			case "md5":
				e.MD5Hash = value
			}
		}
	}
	if v := h.Get("Content-MD5"); v != "" {
		e.MD5Hash = v
	}
}

func (e expected) check(f staged) error {
	if e.CRC32C != "" && e.CRC32C != f.crc32c {
		return &failure{400, "invalid", "BadDigest", "Provided CRC32C \"" + e.CRC32C + "\" doesn't match calculated CRC32C \"" + f.crc32c + "\"."}
	}
	if e.MD5Hash != "" && e.MD5Hash != f.md5Hash {
		return &failure{400, "invalid", "BadDigest", "Provided MD5 hash \"" + e.MD5Hash + "\" doesn't match calculated MD5 hash \"" + f.md5Hash + "\"."}
	}
	return nil
}

// contentLengthRange is x-goog-content-length-range: MIN,MAX. The zero value allows everything.
type contentLengthRange struct {
	Min, Max int64
	Set      bool
}

// maxObjectBytes is Cloud Storage's limit of one object (documentation, "Quotas and limits").
const maxObjectBytes = 5 << 40

func parseContentLengthRange(h http.Header) (c contentLengthRange, err error) {
	text := h.Get("x-goog-content-length-range")
	if text == "" {
		return c, nil
	}
	low, high, found := strings.Cut(text, ",")
	var err1, err2 error
	c.Min, err1 = strconv.ParseInt(strings.TrimSpace(low), 10, 64)
	c.Max, err2 = strconv.ParseInt(strings.TrimSpace(high), 10, 64)
	if !found || err1 != nil || err2 != nil || c.Min < 0 || c.Max < c.Min {
		return c, invalid("x-goog-content-length-range %q is not MIN,MAX", text)
	}
	c.Set = true
	return c, nil
}

func (c contentLengthRange) most() int64 {
	if c.Set {
		return min(c.Max, maxObjectBytes)
	}
	return maxObjectBytes
}

func (c contentLengthRange) check(size int64) error {
	if size > c.most() {
		return errTooLarge
	}
	if c.Set && size < c.Min {
		return errTooSmall
	}
	return nil
}
