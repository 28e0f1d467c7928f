package trigger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

const (
	maxNotes      = 50 // of a request
	maxNoteBytes  = 500
	maxNotesBytes = 256 << 10 // of the stored document, in which a byte may take six
	farthestNote  = 1e6       // from the origin, along an axis
)

// readNotes returns the notes of a request; without a version where none were stored.
func (s *Service) readNotes(ctx context.Context, requestID string) (api.Notes, error) {
	for range 3 { // they may be replaced between the two calls
		o, err := s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.NotesName(requestID))
		if errors.Is(err, artifacts.ErrNotFound) {
			return api.Notes{Notes: []api.Note{}}, nil
		}
		n := api.Notes{Version: strconv.FormatInt(o.Generation, 10)}
		if err == nil {
			err = artifacts.GetJSON(ctx, s.Store, o, &n, maxNotesBytes)
		}
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, artifacts.ErrNotFound) {
			return api.Notes{}, fmt.Errorf("read notes: %w", err)
		}
	}
	return api.Notes{}, errors.New("read notes: they are replaced all the time")
}

// notes serves GET /notes.
func (s *Service) notes(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.shareOwner(ctx, w, r)
	if !ok {
		return
	}
	n, err := s.readNotes(ctx, state.ID)
	if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	serve.WriteJSON(w, http.StatusOK, n)
}

// putNotes serves PUT /notes: all notes of a request, in place of those of the version that the caller has read. Of two calls that
// arrive in the same moment the later one may win.
func (s *Service) putNotes(w http.ResponseWriter, r *http.Request) {
	var ask api.Notes
	if problem := readJSON(r, &ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := checkNotes(ask.Notes); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	state, ok := s.shareOwner(ctx, w, r)
	if !ok {
		return
	}
	if state.Status != pipeline.Completed {
		serve.WriteProblem(w, notCompleted(state))
		return
	}
	stored, err := s.readNotes(ctx, state.ID)
	if err == nil && stored.Version == ask.Version {
		ask.Version = ""
		var o pipeline.Object
		o, err = artifacts.PutJSON(ctx, s.Store, s.Buckets.Artifacts, artifacts.NotesName(state.ID), ask, artifacts.PutOptions{DoesNotExist: stored.Version == ""})
		if err == nil {
			ask.Version = strconv.FormatInt(o.Generation, 10)
			s.Log.InfoContext(ctx, "notes kept", "request_id", state.ID, "stage", state.Stage, "notes", len(ask.Notes))
			serve.WriteJSON(w, http.StatusOK, ask)
			return
		}
	}
	if err != nil && !errors.Is(err, artifacts.ErrExists) {
		s.unavailable(w, r, "storage", err)
		return
	}
	serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "notes_changed", RequestID: state.ID,
		Detail: "The notes were changed since they were read.", Advice: "GET /notes, and change those."})
}

func checkNotes(notes []api.Note) *serve.Problem {
	if len(notes) > maxNotes {
		return invalid("invalid_notes", fmt.Sprintf("A result has at most %d notes.", maxNotes), "Leave some out.")
	}
	for i, n := range notes {
		if strings.TrimSpace(n.Text) == "" || len(n.Text) > maxNoteBytes || strings.ContainsFunc(n.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			return invalid("invalid_notes", fmt.Sprintf("The text of note %d must have between 1 and %d bytes, and no control characters but line breaks.", i+1, maxNoteBytes), "Correct it.")
		}
		if len(n.Position) != 3 || slices.ContainsFunc(n.Position, func(x float64) bool { return !(math.Abs(x) <= farthestNote) }) {
			return invalid("invalid_notes", fmt.Sprintf("The position of note %d must be three numbers of at most %g.", i+1, farthestNote), "Give it in the splat's own coordinates.")
		}
	}
	return nil
}
