package gcs

import (
	"crypto/rand"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sessionLife is how long a resumable upload may take, and how long its last answer is remembered (documentation,
// "Resumable uploads": one week).
const sessionLife = 7 * 24 * time.Hour

// checkpointBytes is how much of one request a crash may make a client send again.
const checkpointBytes = 32 << 20

// session is a resumable upload. Its bytes are in ID.part, its state in ID.json: the state never counts bytes that
// are not on disk, and a part that is longer than its state (a crash in between) is cut when it is opened.
type session struct {
	sessionState

	finished atomic.Bool // its object exists: Done, for those who do not hold busy

	busy sync.Mutex // held by the one request that reads or writes the state

	mu      sync.Mutex
	current *http.ResponseController // of that request, so that a newer one can end it
}

type sessionState struct {
	ID        string
	Draft     draft
	Limit     contentLengthRange
	Total     int64 // -1: not declared yet
	Received  int64
	CRC, MD5  []byte // hash states after Received bytes
	Done      *Object
	CreatedAt time.Time
}

func (s *Server) sessionPath(id, ext string) string { return s.path("sessions", id+ext) }

// startSession begins a resumable upload; total is -1 when the client has not said how long it will be.
func (s *Server) startSession(d draft, limit contentLengthRange, total int64) (*session, error) {
	if err := s.checkDraft(d); err != nil {
		return nil, err
	}
	if total >= 0 {
		if err := limit.check(total); err != nil {
			return nil, err
		}
	}
	var secret [24]byte
	if _, err := io.ReadFull(rand.Reader, secret[:]); err != nil {
		return nil, err
	}
	u := &session{sessionState: sessionState{ID: base64.RawURLEncoding.EncodeToString(secret[:]), Draft: d, Limit: limit,
		Total: total, CreatedAt: s.o.Now()}}
	if err := os.WriteFile(s.sessionPath(u.ID, ".part"), nil, 0o600); err != nil {
		return nil, err
	}
	if err := s.saveSession(u, newSums()); err != nil {
		return nil, errors.Join(err, os.Remove(s.sessionPath(u.ID, ".part")))
	}
	s.mu.Lock()
	s.sessions[u.ID] = u
	s.mu.Unlock()
	if err := errors.Join(s.expireSessions(), s.supersede(u)); err != nil { // no reason to refuse this one
		s.o.Log.Warn("storage: expired upload stays", "error", err)
	}
	return u, nil
}

func (s *Server) saveSession(u *session, sum sums) error {
	var err1, err2 error
	u.CRC, err1 = sum.crc.(encoding.BinaryMarshaler).MarshalBinary()
	u.MD5, err2 = sum.md5.(encoding.BinaryMarshaler).MarshalBinary()
	return errors.Join(err1, err2, s.disk.writeJSON(s.path("tmp"), s.sessionPath(u.ID, ".json"), u.sessionState))
}

// acquire finds a session and waits until no other request uses it. A request that is still being read is ended: its
// client has given up on it, or would not have sent this one.
func (s *Server) acquire(id string, w http.ResponseWriter) (u *session, release func(), err error) {
	s.mu.RLock()
	u, ok := s.sessions[id]
	s.mu.RUnlock()
	if !ok {
		return nil, nil, errNoSession
	}
	u.mu.Lock()
	if u.current != nil {
		_ = u.current.SetReadDeadline(time.Unix(1, 0)) // where that is not supported, it ends at its own deadline
	}
	u.mu.Unlock()
	u.busy.Lock()
	unhurried(w)
	u.mu.Lock()
	u.current = http.NewResponseController(w)
	u.mu.Unlock()
	release = func() {
		u.mu.Lock()
		u.current = nil
		u.mu.Unlock()
		u.busy.Unlock()
	}
	s.mu.RLock()
	_, ok = s.sessions[id]
	s.mu.RUnlock()
	if !ok || s.o.Now().Sub(u.CreatedAt) > sessionLife { // canceled while waiting, or too old
		release()
		return nil, nil, errNoSession
	}
	return u, release, nil
}

// unhurried lifts the server's limits on the time of a request: a transfer takes as long as it takes. Who asks for it has shown
// that it may.
func unhurried(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})) // a writer without limits needs none lifted
}

// receive takes one request's part of a session. It returns the object when the upload is complete.
func (s *Server) receive(u *session, c contentRange, body io.Reader, declared expected) (*Object, error) {
	if u.Done != nil {
		return u.Done, nil // the answer was lost: give it again
	}
	if c.total >= 0 {
		if u.Total >= 0 && u.Total != c.total {
			return nil, invalid("The upload was said to have %d bytes, now %d.", u.Total, c.total)
		}
		if c.total < u.Received {
			return nil, invalid("The upload has %d bytes already, more than the %d declared.", u.Received, c.total)
		}
		if err := u.Limit.check(c.total); err != nil {
			return nil, errors.Join(err, s.dropSession(u))
		}
	}
	if !c.query && c.first > u.Received {
		return nil, &failure{400, "invalid", "InvalidArgument", fmt.Sprintf(
			"The request starts at byte %d but %d are stored: ask for the status and send what follows.", c.first, u.Received)}
	}
	sum, err := u.restoreSums()
	if err != nil {
		return nil, err
	}
	if c.total >= 0 {
		u.Total = c.total
	}
	if declared.CRC32C != "" {
		u.Draft.Expected.CRC32C = declared.CRC32C
	}
	if declared.MD5Hash != "" {
		u.Draft.Expected.MD5Hash = declared.MD5Hash
	}
	if !c.query {
		ended, err := s.appendPart(u, c, body, sum)
		if err != nil {
			return nil, err
		}
		if c.last < 0 && c.total < 0 && ended { // a body of unknown length that came to its end is all that was missing
			u.Total = u.Received
		}
	}
	if u.Total < 0 || u.Received < u.Total {
		return nil, nil
	}
	return s.finish(u, sum)
}

// appendPart stores the bytes that are new and keeps what arrived when the connection breaks.
func (s *Server) appendPart(u *session, c contentRange, body io.Reader, sum sums) (ended bool, err error) {
	f, err := os.OpenFile(s.sessionPath(u.ID, ".part"), os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := f.Truncate(u.Received); err != nil {
		return false, err
	}
	if _, err := f.Seek(u.Received, io.SeekStart); err != nil {
		return false, err
	}
	if c.last >= 0 {
		body = io.LimitReader(body, c.last-c.first+1)
	}
	if _, err := io.CopyN(io.Discard, body, u.Received-c.first); err != nil { // all of it was sent before
		switch {
		case err != io.EOF:
			return false, errCutShort
		case c.last < 0:
			return false, invalid("The upload was sent again to its end, with fewer than the %d bytes stored.", u.Received)
		}
		return false, nil
	}
	limit := contentLengthRange{Max: u.Limit.most() - u.Received, Set: true}
	if u.Total >= 0 {
		limit.Max = min(limit.Max, u.Total-u.Received)
	}
	part := &checkpointed{f: f, sum: sum, save: func(n int64) error {
		if err := s.disk.flush(f); err != nil {
			return err
		}
		u.Received += n
		return s.saveSession(u, sum)
	}}
	_, err = copyBody(part, body, limit)
	if errors.Is(err, errTooLarge) {
		return false, errors.Join(err, s.dropSession(u))
	}
	var broken errBody
	if err != nil && !errors.As(err, &broken) {
		return false, err // the disk's error: the state on disk is still true
	}
	if saveErr := part.save(part.unsaved); saveErr != nil {
		return false, saveErr
	}
	if err != nil || c.last >= 0 && u.Received <= c.last {
		return false, errCutShort
	}
	return true, nil
}

// checkpointed writes a part and saves the state now and then.
type checkpointed struct {
	f       *os.File
	sum     sums
	unsaved int64
	save    func(n int64) error
}

func (p *checkpointed) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	if err != nil {
		return n, err
	}
	_, _ = p.sum.Write(b) // never fails
	if p.unsaved += int64(n); p.unsaved >= checkpointBytes {
		err = p.save(p.unsaved)
		p.unsaved = 0
	}
	return n, err
}

func (u *session) restoreSums() (sums, error) {
	sum := newSums()
	err1 := sum.crc.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.CRC)
	err2 := sum.md5.(encoding.BinaryUnmarshaler).UnmarshalBinary(u.MD5)
	return sum, errors.Join(err1, err2)
}

// finish makes the object and keeps the answer for a client that did not get it.
func (s *Server) finish(u *session, sum sums) (*Object, error) {
	if err := u.Limit.check(u.Received); err != nil {
		return nil, errors.Join(err, s.dropSession(u))
	}
	f := staged{path: s.sessionPath(u.ID, ".part"), size: u.Received, crc32c: sum.crc32c(), md5Hash: sum.md5Hash(), session: u.ID}
	if err := os.Truncate(f.path, u.Received); err != nil {
		return nil, err
	}
	o, err := s.commit(u.Draft, f)
	if err != nil && failureOf(err).status < http.StatusInternalServerError {
		return nil, errors.Join(err, s.dropSession(u)) // asking again would not help
	}
	if err != nil {
		return nil, err
	}
	u.finished.Store(true)
	u.Done = &o
	if err := s.saveSession(u, sum); err != nil { // the sidecar names the session: the next start knows
		s.o.Log.Warn("storage: finished upload not noted", "error", err)
	}
	return &o, nil
}

func (s *Server) dropSession(u *session) error {
	s.mu.Lock()
	delete(s.sessions, u.ID)
	s.mu.Unlock()
	return errors.Join(ignoreMissing(os.Remove(s.sessionPath(u.ID, ".json"))), ignoreMissing(os.Remove(s.sessionPath(u.ID, ".part"))))
}

// expireSessions forgets uploads older than a week.
func (s *Server) expireSessions() error {
	s.mu.RLock()
	var old []*session
	for _, u := range s.sessions {
		if s.o.Now().Sub(u.CreatedAt) > sessionLife {
			old = append(old, u)
		}
	}
	s.mu.RUnlock()
	for _, u := range old {
		if err := s.dropSession(u); err != nil {
			return err
		}
	}
	return nil
}

// openSessions is how many unfinished uploads of one object are kept: a client that begins again needs two, and the holder of
// the link that starts them may use it until it expires.
const openSessions = 8

// supersede forgets the oldest unfinished uploads of the object of a new one when there are too many.
func (s *Server) supersede(begun *session) error {
	s.mu.RLock()
	var open []*session
	for _, u := range s.sessions {
		if u != begun && u.Draft.Bucket == begun.Draft.Bucket && u.Draft.Name == begun.Draft.Name && !u.finished.Load() {
			open = append(open, u)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(open, func(a, b *session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	var failed error
	for _, u := range open[min(openSessions-1, len(open)):] {
		failed = errors.Join(failed, s.dropSession(u))
	}
	return failed
}

// loadSessions reads the uploads that were under way. committed reports which of them became objects.
func (s *Server) loadSessions(committed map[string]Object) error {
	files, err := os.ReadDir(s.path("sessions"))
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	for _, file := range files {
		id, isState := strings.CutSuffix(file.Name(), ".json")
		if !isState {
			continue
		}
		body, err := os.ReadFile(s.path("sessions", file.Name()))
		if err != nil {
			return fmt.Errorf("read session: %w", err)
		}
		u := &session{}
		if err := json.Unmarshal(body, &u.sessionState); err != nil || u.ID != id {
			s.o.Log.Error("storage: damaged upload session is dropped", "file", file.Name(), "error", err)
			u.sessionState = sessionState{ID: id}
		} else if o, ok := committed[id]; ok {
			u.Done = &o
		}
		info, err := os.Stat(s.sessionPath(id, ".part"))
		if u.Done == nil && (u.CRC == nil || err != nil || info.Size() < u.Received) { // damaged, or its object is gone again
			if err := s.dropSession(u); err != nil {
				return err
			}
			continue
		}
		u.finished.Store(u.Done != nil)
		s.sessions[id] = u
	}
	for _, file := range files { // parts that became an object, or whose state was never written
		id, isPart := strings.CutSuffix(file.Name(), ".part")
		if u, known := s.sessions[id]; isPart && (!known || u.Done != nil) {
			if err := ignoreMissing(os.Remove(s.path("sessions", file.Name()))); err != nil {
				return err
			}
		}
	}
	return s.expireSessions()
}
