package trigger_test

import (
	"context"
	"testing"

	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
)

// TestOnRedis runs what depends most on the queue again, on the queue that serves.
func TestOnRedis(t *testing.T) {
	rdb := startRedis(t)
	memory := newQueue
	defer func() { newQueue = memory }()
	newQueue = func(t testing.TB, c queue.Config) queuetest.Queue {
		t.Helper()
		if err := rdb.FlushDB(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		q, err := redisq.Open(context.Background(), rdb, c)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	for name, test := range map[string]func(*testing.T){
		"SessionIsDeduplicated":      TestSessionIsDeduplicated,
		"OneOfFifty":                 TestOneOfFiftyAtOnceIsLetIn,
		"FailedRequestPoisonsNobody": TestFailedRequestDoesNotPoisonItsSession,
		"BrokenSubmission":           TestBrokenSubmissionCanBeRepeatedAtOnce,
		"AbandonedSubmission":        TestAbandonedSubmissionIsTakenOver,
		"SameKey":                    TestSameKeyAndBodySameAnswer,
		"SameKeyOtherBody":           TestSameKeyOtherBody,
		"OneKeyFiftyTimes":           TestOneKeyFiftyTimesAtOnceIsOneRequest,
		"RepetitionAfterEveryCrash":  TestRepetitionAfterEveryCrash,
		"Status":                     TestStatusFollowsARequestToItsEnd,
		"Tokens":                     TestStatusNeedsItsToken,
		"Events":                     TestEventsFollowARequestToItsEnd,
		"LongPoll":                   TestLongPoll,
		"Cancel":                     TestCancel,
	} {
		t.Run(name, test)
	}
}
