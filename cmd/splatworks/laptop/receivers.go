package laptop

import (
	"net/http"

	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// receiversSocket is where events arrive, in the data folder. Nothing checks who sends them: in the cloud IAM does. So only the
// relay of this program can.
const receiversSocket = "events.sock"

// place finds a place for a socket, which is removed at the end.
func (b *Backend) place(dir, name string) (string, error) {
	path, remove, err := socket.Place(dir, name)
	if err == nil {
		b.sockets = append(b.sockets, remove)
	}
	return path, err
}

// receivers hosts every stage's receiver and the function that sends webhooks, and has the events sent to them.
func (b *Backend) receivers() (http.Handler, error) {
	const base = "http://events" // the socket's transport needs no host
	mux := http.NewServeMux()
	mux.HandleFunc("/", serve.NotFound)
	for _, s := range pipeline.Stages() {
		receiver, err := serve.Events(b.parts.Receiver(s).Receive)
		if err != nil {
			return nil, err
		}
		path := "/" + string(s)
		mux.Handle("POST "+path, receiver)
		if err := b.cloud.OnFinalized(inbox(s), base+path); err != nil {
			return nil, err
		}
	}
	notify, err := b.parts.Notify()
	if err != nil {
		return nil, err
	}
	receiver, err := serve.Events(notify.Receive)
	if err != nil {
		return nil, err
	}
	const path = "/notify"
	mux.Handle("POST "+path, receiver)
	return mux, b.cloud.OnMessage(finishedTopic, base+path)
}
