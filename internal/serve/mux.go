package serve

import (
	"net/http"
	"slices"
	"strings"
)

// Mux routes as http.ServeMux does, and answers what nothing serves with a Problem: 404 at an unknown path, 405 for a method that a path
// does not have.
type Mux struct {
	mux     *http.ServeMux
	allowed map[string][]string // methods by path
}

// NewMux serves nothing yet.
func NewMux() *Mux {
	m := &Mux{mux: http.NewServeMux(), allowed: map[string][]string{}}
	m.mux.HandleFunc("/", NotFound)
	return m
}

// Handle serves a method at a path, which may have wildcards; GET serves HEAD, too.
func (m *Mux) Handle(method, path string, h http.HandlerFunc) {
	m.mux.HandleFunc(method+" "+path, h)
	if m.allowed[path] == nil {
		m.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { m.refuse(w, r, path) })
	}
	m.allowed[path] = append(m.allowed[path], method)
	slices.Sort(m.allowed[path])
}

func (m *Mux) refuse(w http.ResponseWriter, r *http.Request, path string) {
	allow := strings.Join(m.allowed[path], ", ")
	WriteProblem(w, Problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Allow: allow,
		Detail: r.Method + " is not served here.", Advice: "Use " + allow + "."})
}

func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }
