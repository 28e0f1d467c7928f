package app_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/infra/local/events"
	"github.com/splatworks/splatworks/internal/serve"
)

// TestEveryMessengerWaitsAsLongAsTheHandlersThink compares what handlers of events count on with what delivers them.
func TestEveryMessengerWaitsAsLongAsTheHandlersThink(t *testing.T) {
	if events.PushTimeout != serve.EventDeadline {
		t.Errorf("the local relay waits %v, and handlers end within %v", events.PushTimeout, serve.EventDeadline)
	}
	for page, says := range map[string]string{
		"../docs/operations.md": fmt.Sprintf("with a deadline of %g s", serve.EventDeadline.Seconds()),
		"../docs/api.md":        fmt.Sprintf("Answer 2xx within %g seconds", notify.AnswerWithin.Seconds()),
	} {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(body), says) {
			t.Errorf("%s does not say %q", page, says)
		}
	}
}
