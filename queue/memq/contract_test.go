package memq_test

import (
	"testing"

	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
	"github.com/splatworks/splatworks/queue/queuetest"
)

func TestContract(t *testing.T) {
	queuetest.Suite{Open: func(_ testing.TB, cfg queue.Config) queuetest.Queue { return memq.New(cfg) }}.Run(t)
}
