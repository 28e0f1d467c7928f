package events

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/splatworks/splatworks/infra/local/durable"
)

// Trigger sends the events of one source and type to a URL.
type Trigger struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Type   string `json:"type"`
	URL    string `json:"-"` // of this run: the next one may listen elsewhere
}

func (r *Relay) triggersPath() string { return filepath.Join(r.dir, "triggers.json") }

// Register sets a trigger. From then on, and in later runs, it is sent every event that matches.
func (r *Relay) Register(t Trigger) error {
	if t.Name == "" || t.Source == "" || t.Type == "" || t.URL == "" {
		return fmt.Errorf("trigger %+v lacks a name, source, type or URL", t)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[t.Name] = t
	if err := r.saveTriggers(); err != nil {
		return err
	}
	waiting := r.parked[t.Name]
	delete(r.parked, t.Name)
	for _, d := range waiting {
		r.stats.Pending--
		r.add(d)
	}
	r.nudge()
	return nil
}

// saveTriggers replaces the file; r.mu is held.
func (r *Relay) saveTriggers() error {
	list := []Trigger{}
	for _, t := range r.known {
		list = append(list, t)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.dir, r.triggersPath(), body); err != nil {
		return fmt.Errorf("keep triggers in %s: %w", r.triggersPath(), err)
	}
	return nil
}
