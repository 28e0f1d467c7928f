// Package pubsub is Pub/Sub on a laptop: the official fake (pstest) for the client library to talk to, and behind it the
// relay of package events, which keeps every message on disk and pushes it. The fake alone forgets everything when it
// ends, drops what is older than ten minutes and pushes nothing, so it is never the truth about a message.
package pubsub

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/splatworks/splatworks/infra/local/events"
)

// MessagePublished is the type of event that a message arrives as.
const MessagePublished = "google.cloud.pubsub.topic.v1.messagePublished"

// Emitter keeps and delivers events; *events.Relay does.
type Emitter interface {
	Emit(e events.Event, durable bool) error
}

// Server is a Pub/Sub endpoint.
type Server struct {
	fake    *pstest.Server
	emitter Emitter
	project string
}

// Start listens on a free loopback port and makes the topics. Messages are delivered to the triggers that the emitter
// knows (see OnMessage) and to pull subscriptions that clients make.
func Start(ctx context.Context, project string, topics []string, emitter Emitter) (*Server, error) {
	s := &Server{emitter: emitter, project: project}
	s.fake = pstest.NewServerWithAddress("127.0.0.1:0", pstest.ServerReactorOption{FuncName: "Publish", Reactor: s})
	for _, topic := range topics {
		if _, err := s.fake.GServer.CreateTopic(ctx, &pubsubpb.Topic{Name: s.topic(topic)}); err != nil {
			return nil, errors.Join(fmt.Errorf("make topic %s: %w", topic, err), s.fake.Close())
		}
	}
	return s, nil
}

func (s *Server) topic(name string) string { return "projects/" + s.project + "/topics/" + name }

// Addr is the gRPC endpoint; connect without TLS and without credentials.
func (s *Server) Addr() string { return s.fake.Addr }

// Close ends the endpoint. Messages that were accepted are with the emitter.
func (s *Server) Close() error { return s.fake.Close() }

// TopicSource is the source of a topic's events.
func TopicSource(project, topic string) string {
	return "//pubsub.googleapis.com/projects/" + project + "/topics/" + topic
}

// OnMessage is a trigger for a topic's messages.
func OnMessage(project, topic, url string) events.Trigger {
	return events.Trigger{Name: "pubsub-" + topic, Source: TopicSource(project, topic), Type: MessagePublished, URL: url}
}

// React implements pstest.Reactor: a message is on disk before the fake takes it and the publisher hears of it.
func (s *Server) React(request any) (handled bool, answer any, err error) {
	r, ok := request.(*pubsubpb.PublishRequest)
	if !ok {
		return false, nil, nil
	}
	for i, m := range r.Messages {
		e, err := messageEvent(r.Topic, m, time.Now())
		if err == nil {
			err = s.emitter.Emit(e, i == len(r.Messages)-1)
		}
		if err != nil {
			return true, nil, status.Errorf(codes.Unavailable, "keep message: %v", err)
		}
	}
	return false, nil, nil
}

// message is the JSON form of a message in an event (googleapis/google-cloudevents, MessagePublishedData).
type message struct {
	Data        []byte            `json:"data,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	MessageID   string            `json:"messageId"`
	PublishTime time.Time         `json:"publishTime"`
	OrderingKey string            `json:"orderingKey,omitempty"`
}

func messageEvent(topic string, m *pubsubpb.PubsubMessage, now time.Time) (events.Event, error) {
	data, err := json.Marshal(struct {
		Subscription string  `json:"subscription"`
		Message      message `json:"message"`
	}{
		Subscription: strings.Replace(topic, "/topics/", "/subscriptions/eventarc-", 1),
		Message: message{Data: m.Data, Attributes: maps.Clone(m.Attributes), OrderingKey: m.OrderingKey,
			MessageID: rand.Text(), PublishTime: now.UTC()},
	})
	if err != nil {
		return events.Event{}, err
	}
	return events.Event{Type: MessagePublished, Source: "//pubsub.googleapis.com/" + topic, Time: now.UTC(), Data: data}, nil
}
