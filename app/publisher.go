package app

import (
	"context"

	"github.com/splatworks/splatworks/adapters/pubsub"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

// Publisher announces the beginning and the end of requests on Pub/Sub, for any subscriber; the pipeline itself does not
// depend on it.
type Publisher struct {
	client              *pubsub.Client
	requested, finished pubsub.Topic
}

// localProject names the project where there is none.
const localProject = "local"

func openPublisher(ctx context.Context, c Config) (*Publisher, error) {
	project := c.ProjectID
	if project == "" {
		project = localProject
	}
	client, err := pubsub.Open(ctx, project, c.PubSub)
	if err != nil {
		return nil, err
	}
	return &Publisher{client, client.Topic(c.Requested), client.Topic(c.Finished)}, nil
}

// PublishRequested implements trigger.Publisher.
func (p *Publisher) PublishRequested(ctx context.Context, a trigger.Announcement) error {
	return p.requested.Publish(ctx, a)
}

// PublishFinished announces the end of a request, at least once.
func (p *Publisher) PublishFinished(ctx context.Context, r pipeline.Request, status pipeline.Status) error {
	return p.finished.Publish(ctx, struct {
		RequestID string          `json:"request_id"`
		SessionID string          `json:"session_id"`
		Status    pipeline.Status `json:"status"`
	}{r.ID, r.SessionID, status})
}

// Close sends what is left and ends the connection.
func (p *Publisher) Close() error {
	p.requested.Stop()
	p.finished.Stop()
	return p.client.Close()
}
