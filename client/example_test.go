package client_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/pipeline"
)

// Sends a video to a backend, waits, and prints where the splat is. It is compiled, not run: it needs a backend.
func Example() {
	ctx := context.Background()
	api := &client.Client{BaseURL: "http://127.0.0.1:8080"}
	accepted, err := api.Trigger(ctx, client.Trigger{SessionID: "kitchen", Options: pipeline.Options{Preset: "preview"}})
	if err != nil {
		log.Fatal(err)
	}
	video, err := os.Open("kitchen.mp4")
	if err != nil {
		log.Fatal(err)
	}
	defer video.Close()
	info, err := video.Stat()
	if err != nil {
		log.Fatal(err)
	}
	if err := api.Upload(ctx, *accepted.Upload, video, info.Size(), nil); err != nil {
		log.Fatal(err)
	}
	status, err := api.Wait(ctx, accepted.CallbackToken, func(s *client.Status) { fmt.Println(s.Stage, s.Progress.Percent) })
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Ended(status); err != nil {
		log.Fatal(err)
	}
	for _, result := range status.Results {
		fmt.Println(result.Kind, result.URL)
	}
}
