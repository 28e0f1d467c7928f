package redisq

import "time"

// SetPause sets the first pause between two tries.
func (q *Queue) SetPause(d time.Duration) { q.pause = d }

// SetPatience sets how long a call keeps trying.
func (q *Queue) SetPatience(d time.Duration) { q.patience = d }
