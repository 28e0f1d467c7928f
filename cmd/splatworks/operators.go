package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/cmd/splatworks/laptop"
	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/internal/serve"
)

// operatorsAPI says where the operators' API of a backend is.
type operatorsAPI struct {
	Operators string `default:"data" env:"SPLATWORKS_OPERATORS" placeholder:"DIR|URL" help:"Operators' API: the data folder of 'up' or the socket in it, or the address of a deployment's requests service."`
	Identity  string `env:"SPLATWORKS_IDENTITY_TOKEN" placeholder:"TOKEN" help:"Identity token for a deployment, as 'gcloud auth print-identity-token' prints it."`
}

// maxAnswerBytes bounds an answer.
const maxAnswerBytes = 16 << 20

// call makes a call with a body, unless that is nil, and reads the answer into v.
func (o operatorsAPI) call(ctx context.Context, method, path string, body, v any) error {
	base, client, err := o.reach()
	if err != nil {
		return err
	}
	var sent []byte
	if body != nil {
		if sent, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the call: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(sent))
	if err != nil {
		return usageError{err}
	}
	r.Header.Set("Content-Type", "application/json")
	if o.Identity != "" {
		r.Header.Set("Authorization", "Bearer "+o.Identity)
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return refused(resp, answer)
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("the answer is not that of an operators' API: %w", err)
	}
	return nil
}

// reach is the API's address and who calls it: over its socket, or as any other.
func (o operatorsAPI) reach() (base string, client *http.Client, err error) {
	base = strings.TrimSuffix(o.Operators, "/")
	if u, err := url.Parse(base); err == nil && u.Host != "" {
		return base, http.DefaultClient, nil
	}
	path := base
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, laptop.OperatorsSocket)
	}
	if _, err := os.Stat(path); err != nil {
		return "", nil, fmt.Errorf("no backend runs there: name the data folder of 'splatworks up', its socket, or the address of a deployment's requests service with --operators (%w)", err)
	}
	return "http://operators", &http.Client{Transport: socket.Transport(path)}, nil
}

// refused says why the operators' API, or what is in front of it, did not do as asked.
func refused(resp *http.Response, body []byte) error {
	var p serve.Problem
	why := resp.Status
	switch err := json.Unmarshal(body, &p); {
	case err == nil && p.Code != "":
		why = fmt.Sprintf("%s %s (%s)", p.Detail, p.Advice, p.Code)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		why += ": set SPLATWORKS_IDENTITY_TOKEN to what 'gcloud auth print-identity-token' prints; roles/run.invoker on the requests service is needed"
	}
	return refusedCall{resp.StatusCode, why}
}

// refusedCall is the error of an answer that is not a success.
type refusedCall struct {
	status int
	why    string
}

func (e refusedCall) Error() string { return e.why }
