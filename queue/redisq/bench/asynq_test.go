package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// asynqRedis leads asynq to a server.
func asynqRedis(s *redistest.Server) asynq.RedisClientOpt {
	if s.Addr != "" {
		return asynq.RedisClientOpt{Addr: s.Addr}
	}
	return asynq.RedisClientOpt{Network: "unix", Addr: s.Socket}
}

var asynqPayload = make([]byte, 200)

func (m *measurement) asynqEnqueue() error {
	id := fmt.Sprintf("%026d", m.asynqN.Add(1))
	_, err := m.asynq.Enqueue(asynq.NewTask("bench", asynqPayload), asynq.TaskID(id))
	return err
}

// asynqProcess measures how fast an asynq server with c workers handles tasks that do nothing, from the first handled one.
func (m *measurement) asynqProcess(op operation) {
	cpu := m.cpu()
	server := asynq.NewServer(m.asynqOpt, asynq.Config{Concurrency: op.c, LogLevel: asynq.FatalLevel})
	var handled atomic.Int64
	var first, last atomic.Int64
	done := make(chan struct{})
	m.must(server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		switch handled.Add(1) {
		case 1:
			first.Store(time.Now().UnixNano())
		case benchTasks:
			last.Store(time.Now().UnixNano())
			close(done)
		}
		return nil
	})))
	<-done
	server.Shutdown()
	m.add(op, benchTasks/(float64(last.Load()-first.Load())/1e9), (m.cpu()-cpu)/float64(handled.Load()), nil)
	// It went on until it was stopped: put back what the depth lacks.
	for extra := handled.Load() - benchTasks; extra > 0; extra-- {
		m.must(m.asynqEnqueue())
	}
}
