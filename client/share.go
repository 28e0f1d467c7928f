package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/splatworks/splatworks/client/api"
)

// Share is a link that shows the result of a request and can do nothing else; Shared is what it shows.
type (
	ShareAsked = api.ShareAsked
	Share      = api.Share
	Shared     = api.Shared
)

// Share makes a share of a COMPLETED request. Its token is in the answer and never again.
func (c *Client) Share(ctx context.Context, token string, ask ShareAsked) (*Share, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("encode share: %w", err)
	}
	r, err := c.request(ctx, http.MethodPost, "/shares", token, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	var s Share
	if _, err := c.call(r, http.StatusCreated, &s); err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	return &s, nil
}

// Shares lists the shares of a request, without their tokens.
func (c *Client) Shares(ctx context.Context, token string) ([]Share, error) {
	r, err := c.request(ctx, http.MethodGet, "/shares", token, nil)
	if err != nil {
		return nil, err
	}
	var all api.Shares
	if _, err := c.call(r, http.StatusOK, &all); err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	return all.Shares, nil
}

// Unshare revokes a share of a request.
func (c *Client) Unshare(ctx context.Context, token, shareID string) error {
	r, err := c.request(ctx, http.MethodDelete, "/shares/"+url.PathEscape(shareID), token, nil)
	if err != nil {
		return err
	}
	if _, err := c.call(r, http.StatusNoContent, nil); err != nil {
		return fmt.Errorf("revoke share: %w", err)
	}
	return nil
}

// Shared reads what a share shows, by its own token. Results are fetched with Download.
func (c *Client) Shared(ctx context.Context, shareToken string) (*Shared, error) {
	r, err := c.request(ctx, http.MethodGet, "/shared", shareToken, nil)
	if err != nil {
		return nil, err
	}
	var s Shared
	if _, err := c.call(r, http.StatusOK, &s); err != nil {
		return nil, fmt.Errorf("open share: %w", err)
	}
	return &s, nil
}
