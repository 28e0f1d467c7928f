package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/web"
)

type viewCommand struct {
	Result string `arg:"" help:"A folder that 'splatworks run' or 'watch' filled, or one splat in any format that 'splatworks convert' reads."`
	Listen string `default:"127.0.0.1:0" help:"Address to serve at; port 0 takes a free one."`
	Open   bool   `default:"true" negatable:"" help:"Open the browser."`
}

func (viewCommand) Help() string {
	return `Serves the result on this machine until interrupted, and prints the address. Nothing is sent anywhere.

    splatworks view out
    splatworks view room.sog --no-open`
}

func (cmd viewCommand) Run(ctx context.Context, c console) error {
	scratch, err := os.MkdirTemp("", "splatworks-view-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	shown, err := toView(c, cmd.Result, scratch)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", cmd.Listen, err)
	}
	handler, err := shown.handler(loopback.Listening(cmd.Listen))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	address := "http://" + loopback.Own(listener.Addr()) + "/#/view"
	fmt.Fprintln(c.out, address)
	if cmd.Open {
		openBrowser(ctx, address)
	}
	return serve.Server{Handler: handler, Log: serve.NewLogger(c.err, "", slog.LevelWarn)}.RunOn(ctx, listener)
}

// openBrowser does what it can: the address was printed.
func openBrowser(ctx context.Context, address string) {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if path, err := exec.LookPath(program); err == nil {
		_ = exec.CommandContext(ctx, path, address).Start()
	}
}

// view is what is served: files by the names under which the page asks for them.
type view struct {
	title string
	list  []viewed
}

type viewed struct {
	kind artifacts.Kind
	path string
	size int64
}

// toView finds what the page can show of path. A splat in a format that browsers' viewers do not read is written as PLY into
// scratch.
func toView(c console, path, scratch string) (view, error) {
	info, err := os.Stat(path)
	if err != nil {
		return view{}, usageError{err}
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return view{}, err
	}
	v := view{title: filepath.Base(whole)}
	if !info.IsDir() {
		return v, v.addSplat(c, path, scratch)
	}
	splats := 0
	for _, kind := range artifacts.ForClients() {
		file := filepath.Join(path, kind.FileName())
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		v.list = append(v.list, viewed{kind, file, info.Size()})
		if kind == artifacts.Splat || kind == artifacts.SOG || kind == artifacts.CompressedPLY {
			splats++
		}
	}
	if splats == 0 {
		return v, usageError{fmt.Errorf("%s holds no splat: name a folder that 'splatworks run' filled, or the file of a splat", path)}
	}
	return v, nil
}

func (v *view) addSplat(c console, path, scratch string) error {
	name := strings.ToLower(path)
	kind := artifacts.Splat
	switch {
	case strings.HasSuffix(name, ".sog"):
		kind = artifacts.SOG
	case strings.HasSuffix(name, ".ply"):
	default:
		cloud, _, err := readSplat(c, path)
		if err != nil {
			return err
		}
		path = filepath.Join(scratch, artifacts.Splat.FileName())
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(cloud.WritePLY(f), f.Close()); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	v.list = append(v.list, viewed{kind, path, info.Size()})
	return nil
}

// handler serves the page, view.json and the files that it lists, and nothing else of the disk; to callers by the names of hosts.
func (v view) handler(hosts loopback.Hosts) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", serve.NotFound)
	doc := struct {
		Title   string       `json:"title"`
		Results []api.Result `json:"results"`
	}{Title: v.title}
	for _, f := range v.list {
		name := filepath.Base(f.path)
		doc.Results = append(doc.Results, api.Result{Kind: string(f.kind), FileName: name, ContentType: f.kind.ContentType(), Size: f.size,
			URL: (&url.URL{Path: "./files/" + string(f.kind)}).String()})
		mux.HandleFunc("GET /files/"+string(f.kind), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", f.kind.ContentType())
			w.Header().Set("X-Content-Type-Options", "nosniff")
			http.ServeFile(w, r, f.path)
		})
	}
	mux.HandleFunc("GET /view.json", func(w http.ResponseWriter, _ *http.Request) { serve.WriteJSON(w, http.StatusOK, doc) })
	page, err := web.Wrap(mux)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hosts.Serve(r.Host) {
			serve.WriteProblem(w, serve.Problem{Status: http.StatusForbidden, Code: "unknown_host",
				Detail: fmt.Sprintf("%q is no name of this program.", r.Host), Advice: "Call it by the address that it printed."})
			return
		}
		page.ServeHTTP(w, r)
	}), nil
}
