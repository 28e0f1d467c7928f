package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// lockFor is how long a delivery may hold its lock: well over all that it does. An older lock belongs to one that died.
const lockFor = time.Minute

// errBusy brings the message back, when the delivery log says what became of the other try.
var errBusy = errors.New("another delivery of this webhook or mail is under way")

// lock keeps other deliveries of a request's webhook, or mail, out between reading and keeping its log: an object of that name, which
// only one of them can make.
func (s *Service) lock(ctx context.Context, name string) (release func(), err error) {
	body, err := json.Marshal(map[string]time.Time{"at": s.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode lock: %w", err)
	}
	for range 2 {
		mine, err := s.Store.Put(ctx, s.Bucket, name, bytes.NewReader(body), artifacts.PutOptions{ContentType: "application/json", DoesNotExist: true})
		if err == nil {
			return func() { s.unlock(ctx, mine) }, nil
		}
		if !errors.Is(err, artifacts.ErrExists) {
			return nil, fmt.Errorf("lock delivery: %w", err)
		}
		if err := s.breakLock(ctx, name); err != nil {
			return nil, err
		}
	}
	return nil, errBusy
}

// breakLock removes a lock whose holder died; errBusy when it is held.
func (s *Service) breakLock(ctx context.Context, name string) error {
	o, err := s.Store.Stat(ctx, s.Bucket, name)
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil // released meanwhile
	}
	if err != nil {
		return fmt.Errorf("look at the lock of a delivery: %w", err)
	}
	var held struct {
		At time.Time `json:"at"`
	}
	if found, err := s.readObject(ctx, o, &held); err != nil || !found {
		return err
	}
	if s.Now().Sub(held.At) < lockFor {
		return errBusy
	}
	if err := s.Store.Delete(ctx, o); err != nil && !errors.Is(err, artifacts.ErrNotFound) { // this generation and no newer one
		return fmt.Errorf("break the lock of a delivery: %w", err)
	}
	return nil
}

func (s *Service) unlock(ctx context.Context, mine pipeline.Object) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTime)
	defer cancel()
	if err := s.Store.Delete(ctx, mine); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		s.Log.WarnContext(ctx, "delivery stays locked for a while", "object", mine.Name, "error", err.Error())
	}
}
