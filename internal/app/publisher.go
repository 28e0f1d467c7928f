package app

import (
	"context"
	"encoding/json"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

// Publisher announces the beginning and the end of requests on Pub/Sub, for any subscriber; the pipeline itself does not
// depend on it.
type Publisher struct {
	client              *pubsub.Client
	requested, finished *pubsub.Publisher
}

// localProject names the project where there is none.
const localProject = "local"

func openPublisher(ctx context.Context, c Config) (*Publisher, error) {
	project, options := c.ProjectID, []option.ClientOption(nil)
	if project == "" {
		project = localProject
	}
	if c.PubSub != "" {
		options = []option.ClientOption{option.WithEndpoint(c.PubSub), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	}
	client, err := pubsub.NewClient(ctx, project, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	return &Publisher{client, client.Publisher(c.Requested), client.Publisher(c.Finished)}, nil
}

// PublishRequested implements trigger.Publisher.
func (p *Publisher) PublishRequested(ctx context.Context, a trigger.Announcement) error {
	return publish(ctx, p.requested, a)
}

// PublishFinished announces the end of a request, at least once.
func (p *Publisher) PublishFinished(ctx context.Context, r pipeline.Request, status pipeline.Status) error {
	return publish(ctx, p.finished, struct {
		RequestID string          `json:"request_id"`
		SessionID string          `json:"session_id"`
		Status    pipeline.Status `json:"status"`
	}{r.ID, r.SessionID, status})
}

func publish(ctx context.Context, topic *pubsub.Publisher, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if _, err := topic.Publish(ctx, &pubsub.Message{Data: body}).Get(ctx); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Close sends what is left and ends the connection.
func (p *Publisher) Close() error {
	p.requested.Stop()
	p.finished.Stop()
	return p.client.Close()
}
