package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/splatworks/splatworks/client"
)

type submitCommand struct {
	Inputs  []string `arg:"" name:"input" help:"A video, a zip of photos, a folder of photos; several videos or photos; or gs://BUCKET/OBJECT in a bucket that the backend may read."`
	Poses   string   `placeholder:"DIR|FILE" help:"Existing camera poses of the capture: a folder with a COLMAP model, or transforms.json. They are packed with it, so give one input."`
	Server  string   `default:"http://127.0.0.1:8080" env:"SPLATWORKS_SERVER" help:"Address of the request API."`
	APIKey  string   `name:"api-key" env:"SPLATWORKS_API_KEY" placeholder:"KEY" help:"API key, if the deployment requires one. Prefer the environment variable: other users can see command lines."`
	Session string   `placeholder:"NAME" help:"Your own name for the request; a session is reconstructed once."`
	Email   string   `placeholder:"ADDRESS" help:"Address that gets a mail when the request has ended, where the deployment sends mails."`
	JSON    bool     `help:"Print the answer as JSON for scripts: request, token, addresses."`
	Wishes  wishes   `embed:""`
}

func (submitCommand) Help() string {
	return `Prints the request's id and its callback token, which is shown this once, and ends when the upload is complete; the
backend continues. To follow it:

    splatworks watch --token TOKEN -o out`
}

func (cmd submitCommand) Run(ctx context.Context, c console) error {
	options, err := cmd.Wishes.options()
	if err != nil {
		return err
	}
	if cmd.Session == "" {
		cmd.Session = fmt.Sprintf("cli-%d", time.Now().UnixNano())
	}
	ask := client.Trigger{SessionID: cmd.Session, Options: options, Email: cmd.Email}
	send, done, err := cmd.sender(ctx, &ask, c.err)
	if err != nil {
		return err
	}
	defer done()
	api := &client.Client{BaseURL: cmd.Server, APIKey: cmd.APIKey}
	accepted, err := api.Trigger(ctx, ask)
	if err != nil {
		return err
	}
	// Before the upload: the holder of the token can cancel the request even if the upload fails.
	if cmd.JSON {
		err = printJSON(c, accepted)
	} else {
		_, err = fmt.Fprintf(c.out, "request %s\ntoken   %s\n", accepted.RequestID, accepted.CallbackToken)
	}
	if err != nil {
		return err
	}
	if send == nil {
		return nil
	}
	b := newBars(c.err)
	if err := send(ctx, api, accepted, b.upload); err != nil {
		b.fail()
		return abandon(ctx, c, api, accepted, err)
	}
	b.end()
	return nil
}

// abandon deals with a request whose upload did not arrive. After Ctrl-C it is called off: nobody can continue with that upload,
// and the session would stay taken for a day.
func abandon(ctx context.Context, c console, api *client.Client, a *client.Accepted, err error) error {
	if errors.Is(err, context.Canceled) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, cancelErr := api.Cancel(last, a.CallbackToken); cancelErr == nil {
			fmt.Fprintf(c.err, "  request %s was called off\n", a.RequestID)
			return err
		}
	}
	fmt.Fprintf(c.err, "  the upload is not whole; call the request off with: splatworks cancel --token %s\n", a.CallbackToken)
	return err
}

type sender func(ctx context.Context, api *client.Client, a *client.Accepted, progress func(sent, total int64)) error

// sender opens the inputs and says in the trigger how they come: by the storage's own name, as one upload (a folder is
// packed into a zip), or as several. done closes them.
func (cmd submitCommand) sender(ctx context.Context, ask *client.Trigger, notes io.Writer) (send sender, done func(), err error) {
	if cmd.Poses != "" && (len(cmd.Inputs) != 1 || strings.HasPrefix(cmd.Inputs[0], "gs://")) {
		return nil, nil, usageError{errors.New("--poses needs one video, zip or folder on this machine")}
	}
	if len(cmd.Inputs) == 1 && strings.HasPrefix(cmd.Inputs[0], "gs://") {
		ask.Source = cmd.Inputs[0]
		return nil, func() {}, nil
	}
	if len(cmd.Inputs) == 1 {
		input, size, done, err := openPosed(ctx, cmd.Inputs[0], cmd.Poses, notes)
		return func(ctx context.Context, api *client.Client, a *client.Accepted, progress func(sent, total int64)) error {
			return api.Upload(ctx, *a.Upload, input, size, progress)
		}, done, err
	}
	ask.Uploads = client.Several
	var files []client.File
	var opened []*os.File
	done = func() {
		for _, f := range opened {
			f.Close()
		}
	}
	for i, path := range cmd.Inputs {
		f, err := os.Open(path)
		if err != nil {
			done()
			return nil, nil, usageError{err}
		}
		opened = append(opened, f)
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("several inputs must be files; send one folder alone")
		}
		if err != nil {
			done()
			return nil, nil, usageError{fmt.Errorf("%s: %w", path, err)}
		}
		files = append(files, client.File{Name: uploadName(i, path), Content: f, Size: info.Size()})
	}
	return func(ctx context.Context, api *client.Client, a *client.Accepted, progress func(sent, total int64)) error {
		_, err := api.UploadSeveral(ctx, a.CallbackToken, files, progress)
		return err
	}, done, nil
}

var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// uploadName is a name that the API takes, unique and in the order of the command line.
func uploadName(i int, path string) string {
	extension := filepath.Ext(path)
	stem := unsafeInNames.ReplaceAllString(strings.TrimSuffix(filepath.Base(path), extension), "_")
	extension = unsafeInNames.ReplaceAllString(strings.TrimPrefix(extension, "."), "")
	name := fmt.Sprintf("%04d-%.80s", i+1, stem)
	if extension != "" {
		name += "." + extension[:min(len(extension), 10)]
	}
	return name
}
