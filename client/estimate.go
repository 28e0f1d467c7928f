package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/splatworks/splatworks/client/api"
)

// EstimateAsked is a capture and its options; Estimate is what the request would take, in Intervals.
type (
	EstimateAsked = api.EstimateAsked
	Estimate      = api.Estimate
	Interval      = api.Interval
)

// Estimate asks what a request would take in time and money. Nothing is started.
func (c *Client) Estimate(ctx context.Context, ask EstimateAsked) (*Estimate, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("encode the question: %w", err)
	}
	r, err := c.request(ctx, http.MethodPost, "/estimate", "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.APIKey != "" {
		r.Header.Set("X-Api-Key", c.APIKey)
	}
	var e Estimate
	if _, err := c.call(r, http.StatusOK, &e); err != nil {
		return nil, fmt.Errorf("estimate: %w", err)
	}
	return &e, nil
}
