package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"

	"github.com/splatworks/splatworks/artifacts"
)

// Standalone is the viewer and one splat in a single HTML file, which a browser opens from a disk. It loads nothing from
// anywhere.
type Standalone struct {
	Title string
	Name  string          // of the splat; its suffix, .sog, .ply or .compressed.ply, says the format
	View  *artifacts.View // where it starts; nil: all of the splat is in sight
	Unit  string          // metre, or anything else where the unit of the splat is not known
}

// heldParts is where the built page has room for what it holds.
const heldParts = "<!-- held -->"

var (
	stylesheet = regexp.MustCompile(`<link rel="stylesheet"[^>]* href="\./assets/([^"]+)">`)
	entry      = regexp.MustCompile(`<script type="module"[^>]* src="\./assets/([^"]+)"></script>`)
	// An import by name or by import(), in the minifier's quotes.
	imported = regexp.MustCompile("((?:from|import|import\\()[\"'`])\\./([\\w.-]+\\.js)([\"'`])")
)

// Write writes the page with the splat that is read.
func (s Standalone) Write(w io.Writer, splat io.Reader) error {
	page, err := s.page()
	if err != nil {
		return err
	}
	before, after, ok := bytes.Cut(page, []byte(heldParts))
	if !ok {
		return fmt.Errorf("the built viewer.html has no %q", heldParts)
	}
	view, err := json.Marshal(s.View)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, `%s<script id="splat" type="text/plain" data-title="%s" data-name="%s" data-view="%s" data-unit="%s">`,
		before, html.EscapeString(s.Title), html.EscapeString(s.Name), html.EscapeString(string(view)), html.EscapeString(s.Unit)); err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := io.Copy(encoder, splat); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "</script>%s", after)
	return err
}

// page is the built page with its styles and scripts in place of the links to them.
func (s Standalone) page() ([]byte, error) {
	all, err := files()
	if err != nil {
		return nil, err
	}
	page := all[standalone].plain
	first := entry.FindSubmatch(page)
	if first == nil {
		return nil, fmt.Errorf("the built viewer.html loads no script")
	}
	page = stylesheet.ReplaceAllFunc(page, func(link []byte) []byte {
		name := string(stylesheet.FindSubmatch(link)[1])
		return slices.Concat([]byte("<style>"), all["/assets/"+name].plain, []byte("</style>"))
	})
	var scripts bytes.Buffer
	modules := []string{string(first[1])}
	for i := 0; i < len(modules); i++ { // grows by what a module imports
		f, ok := all["/assets/"+modules[i]]
		if !ok {
			return nil, fmt.Errorf("the built page has no %s", modules[i])
		}
		for _, m := range imported.FindAllSubmatch(f.plain, -1) {
			if name := string(m[2]); !slices.Contains(modules, name) {
				modules = append(modules, name)
			}
		}
		id := "held/" + modules[i]
		if i == 0 {
			id = "held/first"
		}
		module := pack(imported.ReplaceAll(f.plain, []byte("${1}held/${2}${3}")))
		fmt.Fprintf(&scripts, `<script id="%s" type="application/gzip">%s</script>`, id, base64.StdEncoding.EncodeToString(module))
	}
	page = entry.ReplaceAll(page, nil)
	page = bytes.Replace(page, []byte(heldParts), slices.Concat(scripts.Bytes(), []byte(heldParts)), 1)
	title := fmt.Sprintf("<title>%s</title>", html.EscapeString(s.Title))
	return bytes.Replace(page, []byte("<title>Splatworks</title>"), []byte(title), 1), nil
}
