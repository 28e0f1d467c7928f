package trigger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// maxFilesPerCall bounds the links that one call makes: on Google Cloud each of them is a call to sign.
const maxFilesPerCall = 100

// uploads serves POST /uploads: links for some of the several uploads of a request. They start nothing; complete does. A
// name stands for one object, so asking again for a name that was not uploaded gives a fresh link, and nothing can be
// replaced.
func (s *Service) uploads(w http.ResponseWriter, r *http.Request) {
	var ask api.UploadsAsked
	if problem := readJSON(r, &ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if problem := checkFiles(&ask); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), submitTimeout)
	defer cancel()
	state, ok := s.open(ctx, w, r)
	if !ok {
		return
	}
	room, problem := s.promise(ctx, state, ask)
	if problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	now := createdAt(s.Now())
	answer := api.Uploads{Uploads: []api.NamedUpload{}}
	for i, f := range ask.Files {
		upload, err := s.signUpload(ctx, state.Request, artifacts.PartName(state.ID, fileName(f.Name)), f.ContentType, room[i], now)
		if err != nil {
			s.unavailable(w, r, "signer", err)
			return
		}
		answer.Uploads = append(answer.Uploads, api.NamedUpload{Name: f.Name, Upload: upload})
	}
	w.Header().Set("Cache-Control", "no-store")
	serve.WriteJSON(w, http.StatusOK, answer)
}

// partTypes are the content types of one of several uploads: archives come alone.
var partTypes = slices.DeleteFunc(slices.Clone(uploadTypes), func(t string) bool { return t == "application/zip" })

func checkFiles(ask *api.UploadsAsked) *serve.Problem {
	if len(ask.Files) < 1 || len(ask.Files) > maxFilesPerCall {
		return invalid("invalid_files", fmt.Sprintf("files must name 1 to %d files.", maxFilesPerCall), "Ask for more in another call.")
	}
	seen := map[string]bool{}
	for i := range ask.Files {
		f := &ask.Files[i]
		f.ContentType = cmp.Or(f.ContentType, uploadTypes[0])
		switch {
		case !validFileName(f.Name):
			return invalid("invalid_files", "A file's name "+fileNameRule+".", "Choose such names; their order is the order of the capture.")
		case seen[fileName(f.Name)]:
			return invalid("invalid_files", "Two files have the name "+f.Name+".", "Give each a name of its own.")
		case f.Size < 0:
			return invalid("invalid_files", "A file's size is its number of bytes.", "Leave it out where it is not known.")
		case !slices.Contains(partTypes, f.ContentType):
			return invalid("invalid_files", "content_type must be one of "+strings.Join(partTypes, ", ")+".", "Convert the file; a zip is uploaded alone.")
		}
		seen[fileName(f.Name)] = true
	}
	return nil
}

// open finds the caller's request and whether its capture may still grow. If not, it has answered.
func (s *Service) open(ctx context.Context, w http.ResponseWriter, r *http.Request) (queue.State, bool) {
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return state, false
	}
	begun := state.Stage != ""
	if !begun && !state.Status.Terminal() {
		_, err := s.Store.Stat(ctx, s.Buckets.Uploads(), artifacts.CaptureName(state.ID))
		if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
			s.unavailable(w, r, "storage", err)
			return state, false
		}
		begun = err == nil
	}
	if begun || state.Status.Terminal() {
		serve.WriteProblem(w, *alreadyBegun(state.ID))
		return state, false
	}
	if problem := s.admit(ctx, s.Changes, state.ID); problem != nil {
		serve.WriteProblem(w, *problem)
		return state, false
	}
	return state, true
}

// promise keeps room in the capture for the files asked for, and says how many bytes each link may take: its size or, where none
// was given, an equal share of what is left.
func (s *Service) promise(ctx context.Context, state queue.State, ask api.UploadsAsked) ([]int64, *serve.Problem) {
	requestID := state.ID
	most, problem := s.room(ctx, state.Caller)
	if problem != nil {
		return nil, problem
	}
	parts, problem := s.parts(ctx, requestID)
	if problem != nil {
		return nil, problem
	}
	p := queue.Promise{RequestID: requestID, MaxFiles: artifacts.MaxUploads, MaxBytes: most}
	for name, o := range parts {
		p.Arrived = append(p.Arrived, queue.File{Name: name, Bytes: o.Size})
	}
	for _, f := range ask.Files {
		p.Files = append(p.Files, queue.File{Name: fileName(f.Name), Bytes: f.Size})
	}
	room, err := s.Queue.Promise(ctx, p)
	switch {
	case errors.Is(err, queue.ErrTooMuch):
		return nil, tooMuch(most)
	case errors.Is(err, queue.ErrTerminal) || errors.Is(err, queue.ErrNotFound):
		return nil, alreadyBegun(requestID)
	case err != nil:
		return nil, s.broken(ctx, "queue", err)
	}
	for i := range room {
		room[i] = max(room[i], 1) // an empty file that is there: the link for it brings nothing
	}
	return room, nil
}

func alreadyBegun(requestID string) *serve.Problem {
	return &serve.Problem{Status: http.StatusConflict, Code: "already_begun", RequestID: requestID,
		Detail: "The capture is complete already.", Advice: "Follow the status, or ask for another reconstruction."}
}

func tooMuch(maxBytes int64) *serve.Problem {
	return &serve.Problem{Status: http.StatusConflict, Code: "too_many_uploads",
		Detail: fmt.Sprintf("A capture has at most %d files and %d bytes, and links were given for so much already.", artifacts.MaxUploads, maxBytes),
		Advice: "Give each file's size, so that its link takes no more than that; complete with what is there, or begin again with less."}
}

// parts are the uploads of a request that arrived, by their names.
func (s *Service) parts(ctx context.Context, requestID string) (map[string]pipeline.Object, *serve.Problem) {
	prefix := artifacts.PartsPrefix(requestID)
	parts := map[string]pipeline.Object{}
	for o, err := range s.Store.List(ctx, s.Buckets.Uploads(), prefix) {
		if err != nil {
			return nil, s.broken(ctx, "storage", err)
		}
		parts[strings.TrimPrefix(o.Name, prefix)] = o
	}
	return parts, nil
}

// maxNamesBytes holds the names of as many files as a capture may have.
const maxNamesBytes = 512 << 10

// complete serves POST /uploads/complete: the capture is what has been uploaded, or the files named; their generations are
// pinned, and the reconstruction starts. Saying it again changes nothing.
func (s *Service) complete(w http.ResponseWriter, r *http.Request) {
	var ask api.Complete
	if r.ContentLength != 0 {
		if problem := readLongJSON(r, &ask, maxNamesBytes); problem != nil {
			serve.WriteProblem(w, *problem)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), submitTimeout)
	defer cancel()
	state, ok := s.authorized(ctx, w, r)
	if !ok {
		return
	}
	if problem := s.admit(ctx, s.Changes, state.ID); problem != nil {
		serve.WriteProblem(w, *problem)
		return
	}
	if state.Stage == "" && !state.Status.Terminal() {
		if problem := s.seal(ctx, state.ID, ask.Names); problem != nil {
			serve.WriteProblem(w, *problem)
			return
		}
	} else if _, err := s.Store.Stat(ctx, s.Buckets.Uploads(), artifacts.CaptureName(state.ID)); errors.Is(err, artifacts.ErrNotFound) {
		serve.WriteProblem(w, serve.Problem{Status: http.StatusConflict, Code: "already_begun", RequestID: state.ID,
			Detail: "The request began with its one upload, or has ended.", Advice: "Follow the status, or ask for another reconstruction."})
		return
	} else if err != nil {
		s.unavailable(w, r, "storage", err)
		return
	}
	s.answerStatus(ctx, w, r, state)
}

// seal writes the Capture, whose event starts the request. The first one that is written counts.
func (s *Service) seal(ctx context.Context, requestID string, names []string) *serve.Problem {
	parts, problem := s.parts(ctx, requestID)
	if problem != nil {
		return problem
	}
	named, missing := map[string]bool{}, 0
	detail := "Nothing has been uploaded."
	for _, name := range names {
		name = fileName(name)
		if _, ok := parts[name]; !ok && !named[name] {
			missing++
			detail = fmt.Sprintf("%d of the files named are not there, %.80q among them.", missing, name)
		}
		named[name] = true
	}
	if missing > 0 || len(parts) == 0 {
		return &serve.Problem{Status: http.StatusConflict, Code: "uploads_missing", RequestID: requestID, Retryable: true,
			Detail: detail, Advice: "Finish the uploads, then complete them."}
	}
	var objects []pipeline.Object
	bytes := int64(0)
	for name, o := range parts {
		if len(names) == 0 || named[name] {
			objects = append(objects, o)
			bytes += o.Size
		}
	}
	if len(objects) > artifacts.MaxUploads || bytes > s.MaxUploadBytes {
		return tooMuch(s.MaxUploadBytes)
	}
	slices.SortFunc(objects, func(a, b pipeline.Object) int { return cmp.Compare(a.Name, b.Name) })
	if err := artifacts.WriteCapture(ctx, s.Store, s.Buckets, requestID, objects); err != nil {
		return s.broken(ctx, "storage", err)
	}
	s.Log.InfoContext(ctx, "uploads complete", "request_id", requestID, "stage", pipeline.First(), "files", len(objects), "bytes", bytes)
	return nil
}
