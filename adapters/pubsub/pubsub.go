// Package pubsub publishes JSON messages on topics of Google Cloud Pub/Sub.
package pubsub

import (
	"context"
	"encoding/json"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Client is a connection to Pub/Sub.
type Client struct{ client *pubsub.Client }

// Open connects to the Pub/Sub of a project. emulator is host:port of an emulator; empty: Google's.
func Open(ctx context.Context, project, emulator string) (*Client, error) {
	var options []option.ClientOption
	if emulator != "" {
		options = []option.ClientOption{option.WithEndpoint(emulator), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	}
	client, err := pubsub.NewClient(ctx, project, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Pub/Sub: %w", err)
	}
	return &Client{client}, nil
}

// Close ends the connection. Stop the topics first.
func (c *Client) Close() error { return c.client.Close() }

// Topic is where messages of one kind go.
type Topic struct{ publisher *pubsub.Publisher }

// Topic returns the topic of a name, which must exist.
func (c *Client) Topic(name string) Topic { return Topic{c.client.Publisher(name)} }

// Publish sends a message as JSON and returns when Pub/Sub has it.
func (t Topic) Publish(ctx context.Context, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if _, err := t.publisher.Publish(ctx, &pubsub.Message{Data: body}).Get(ctx); err != nil {
		return fmt.Errorf("publish to %s: %w", t.publisher, err)
	}
	return nil
}

// Stop sends what is left.
func (t Topic) Stop() { t.publisher.Stop() }
