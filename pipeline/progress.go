package pipeline

// Progress is one event of long work. The worker's heartbeat, the command line's bar, the status document and the event
// stream all listen to the same ones.
type Progress struct {
	Stage   Stage              `json:"stage"`
	Step    string             `json:"step"`            // what is being done, e.g. "matching features"
	Done    float64            `json:"done"`            // in the step's own unit
	Total   float64            `json:"total,omitempty"` // 0 when unknown
	Percent float64            `json:"percent"`         // of the whole stage, 0 to 100, never falling
	Message string             `json:"message,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Warning *Warning           `json:"warning,omitempty"`
	Preview *Object            `json:"preview,omitempty"`  // of what the stage makes, replaced now and then, gone when it ends
	CostUSD float64            `json:"cost_usd,omitempty"` // of this attempt so far, an estimate; 0 where a worker has no price
}

// Listener receives progress. It must return quickly and may be called from several goroutines.
type Listener func(Progress)
