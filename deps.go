package splatworks

import (
	_ "cloud.google.com/go/pubsub/v2"
	_ "cloud.google.com/go/pubsub/v2/pstest"
	_ "cloud.google.com/go/storage"
	_ "github.com/GoogleCloudPlatform/functions-framework-go/functions"
	_ "github.com/alecthomas/kong"
	_ "github.com/cloudevents/sdk-go/v2"
	_ "github.com/hibiken/asynq"
	_ "github.com/mmcloughlin/avo/build"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/sethvargo/go-envconfig"
	_ "golang.org/x/image/draw"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/cpu"
	_ "golang.org/x/time/rate"
	_ "google.golang.org/api/option"
	_ "google.golang.org/grpc"
	_ "pgregory.net/rapid"
)
