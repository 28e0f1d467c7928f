package laptop

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/artifacts/gcs"
	"github.com/splatworks/splatworks/infra/local/loopback"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/web"
)

// public is what the listening address answers: the page for people, the request API and, beside it, what its links lead to in the
// storage. All of it is served to callers that use a name of this program, and to no page that has its own name lead here.
func (b *Backend) public(o Options) (http.Handler, error) {
	email, key := b.cloud.Storage.Account()
	api, err := b.parts.Trigger(gcs.Account{Email: email, PrivateKey: key}, b.StorageURL)
	if err != nil {
		return nil, err
	}
	hosts := loopback.Listening(o.Listen, append(originHosts(o.Origins), o.Hosts...)...)
	page, err := web.Wrap(b.parts.Harden(app.LinksFollowCaller(api.Handler())))
	if err != nil {
		return nil, err
	}
	storage := transfers(http.HandlerFunc(b.cloud.Storage.Links))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !hosts.Serve(r.Host):
			serve.WriteProblem(w, serve.Problem{Status: http.StatusForbidden, Code: "unknown_host",
				Detail: fmt.Sprintf("%q is no name of this server.", r.Host),
				Advice: "Call it by its address, or start it with this name in --host."})
		case b.cloud.Storage.HasBucket(r.URL.EscapedPath()):
			storage.ServeHTTP(w, r)
		default:
			page.ServeHTTP(w, r)
		}
	}), nil
}

func originHosts(origins []string) []string {
	var names []string
	for _, origin := range origins {
		if u, err := url.Parse(origin); err == nil {
			names = append(names, u.Hostname())
		}
	}
	return names
}

// drainTime is how long an upload or a download may take to end when the program does. Both can be resumed.
const drainTime = 3 * time.Second

// transfers ends uploads and downloads in good order when the server stops.
func transfers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-over:
			case <-serve.Draining(r.Context()):
				end := time.Now().Add(drainTime)
				c := http.NewResponseController(w)
				_, _ = c.SetReadDeadline(end), c.SetWriteDeadline(end) // else the server cuts it off
			}
		}()
		next.ServeHTTP(w, r)
	})
}
