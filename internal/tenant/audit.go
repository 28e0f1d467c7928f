package tenant

import (
	"context"
	"log/slog"
	"strings"

	"github.com/splatworks/splatworks/pipeline"
)

// Action is what an audit row says was done.
type Action string

// The actions.
const (
	KeyAdded           Action = "key_added"
	KeyRevoked         Action = "key_revoked"
	RequestCanceled    Action = "request_canceled"
	RequestRetried     Action = "request_retried"
	RequestPurged      Action = "request_purged"
	RequestsPurged     Action = "requests_purged" // one row a call, after those of the requests
	CallerDeleted      Action = "caller_deleted"
	WebhookRedelivered Action = "webhook_redelivered"
)

// Audit writes one row of the audit log: a line of the program's log whose audit field is the action and whose by field says who did it.
// No secret and no address is in it: of a caller without an API key, who is known by an address, it says "client".
func Audit(ctx context.Context, log *slog.Logger, action Action, by string, attributes ...any) {
	log.InfoContext(ctx, "audit", append([]any{"audit", action, "by", by}, attributes...)...)
}

// Named is how a caller is written into an audit row: by the name of its key, never by an address.
func Named(caller string) string {
	if strings.HasPrefix(caller, pipeline.KeyCaller) {
		return caller
	}
	return "client"
}
