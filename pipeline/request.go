package pipeline

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Object names one generation of one Cloud Storage object. Generation 0 means "whatever is there".
type Object struct {
	Bucket      string `json:"bucket"`
	Name        string `json:"name"`
	Generation  int64  `json:"generation,string"`
	Size        int64  `json:"size,string"`
	CRC32C      uint32 `json:"crc32c"` // Castagnoli
	ContentType string `json:"content_type,omitempty"`
}

func (o Object) String() string { return fmt.Sprintf("gs://%s/%s#%d", o.Bucket, o.Name, o.Generation) }

// SameBytes says whether two objects have the same bytes, as far as their sizes and checksums say.
func (o Object) SameBytes(p Object) bool { return o.Size == p.Size && o.CRC32C == p.CRC32C }

// Request is one reconstruction, as it was asked for. Its state lives in the queue; this record is also kept beside the
// artifacts so that the queue can be rebuilt.
type Request struct {
	ID        string    `json:"request_id"` // sorts by time of creation
	SessionID string    `json:"session_id"` // the client's own name for it; the deduplication key
	Caller    string    `json:"caller,omitempty"`
	TokenHash string    `json:"token_hash"` // HashToken of the callback token; the token itself is never stored
	Priority  int       `json:"priority"`   // 0 to MaxPriority, higher first
	Options   Options   `json:"options"`
	CreatedAt time.Time `json:"created_at"`
	Deadline  time.Time `json:"deadline,omitzero"` // the request FAILs when it is not done by then; zero: none
	// CardLimitPx bounds the images of a graphics card where the client left their size open; 0: nothing does.
	CardLimitPx int `json:"card_limit_px,omitempty"`
}

// CardLongEdgePx is the size of the images where a graphics card trains, as far as the operator lets it have them.
func (r Request) CardLongEdgePx() int {
	edge := r.Options.CardLongEdgePx()
	if r.CardLimitPx > 0 {
		return min(edge, r.CardLimitPx)
	}
	return edge
}

// MaxPriority is the largest priority: twelve bits, so that priority and sequence share one exact float64 score.
const MaxPriority = 4095

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// KeyCaller begins the Caller of a request that was asked for with an API key; the key's name follows. Other callers are network
// addresses, which several may share and one may change.
const KeyCaller = "key:"

// SessionKey is what a session is taken under: a caller with an API key has session names of its own, all others share theirs.
func (r Request) SessionKey() string {
	if strings.HasPrefix(r.Caller, KeyCaller) {
		return r.Caller + "\x00" + r.SessionID
	}
	return r.SessionID
}

// requestIDLen is 48 bits of milliseconds and 80 random bits, five bits a character.
const requestIDLen = 26

// NewRequestID returns an id that sorts by time: a ULID in lower case.
func NewRequestID(now time.Time, random io.Reader) (string, error) {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	if _, err := io.ReadFull(random, b[6:]); err != nil {
		return "", fmt.Errorf("draw request id: %w", err)
	}
	return crockford.EncodeToString(b[:]), nil
}

// RequestTime is when a request of that id was made, to the millisecond; the zero time for what is no id.
func RequestTime(id string) time.Time {
	b, err := crockford.DecodeString(id)
	if err != nil || len(b) < 6 {
		return time.Time{}
	}
	ms := int64(0)
	for _, digit := range b[:6] {
		ms = ms<<8 | int64(digit)
	}
	return time.UnixMilli(ms).UTC()
}

// ValidRequestID says whether s could have come from NewRequestID; it keeps strange object names out of keys and paths.
func ValidRequestID(s string) bool {
	if len(s) != requestIDLen {
		return false
	}
	_, err := crockford.DecodeString(s)
	return err == nil && strings.ToLower(s) == s
}

// clientName starts with a letter or digit, so that it is never ".", ".." or an option on somebody's command line.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// ValidName says whether a client's own name, of a session or a file, may become part of ours.
func ValidName(name string) bool {
	return clientName.MatchString(name) && !strings.Contains(name, "..")
}

// NameRule is ValidName in words.
const NameRule = "must be 1 to 128 letters, digits, dots, underscores or hyphens, start with a letter or digit, and hold no two dots in a row"

// NewToken returns a callback token: 256 random bits as 52 letters and digits, which a command line takes as a value and
// a double click selects whole. It is shown once and only its hash is kept.
func NewToken(random io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw callback token: %w", err)
	}
	return crockford.EncodeToString(b[:]), nil
}

// NewShareToken returns a token that opens a share of a request: the request's id and 160 random bits, as letters and digits. It is
// shown once and only its hash is kept.
func NewShareToken(requestID string, random io.Reader) (string, error) {
	var b [20]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw share token: %w", err)
	}
	return requestID + crockford.EncodeToString(b[:]), nil
}

// SharedRequest is the request that a share token belongs to, if it is one.
func SharedRequest(token string) (requestID string, ok bool) {
	if len(token) != requestIDLen+32 {
		return "", false
	}
	id := token[:requestIDLen]
	_, err := crockford.DecodeString(token[requestIDLen:])
	return id, err == nil && ValidRequestID(id)
}

// HashToken is what is stored and looked up. Finding a record by the hash of a 256-bit secret leaks no more than the
// hash through timing, so a lookup needs no comparison of the token itself.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
