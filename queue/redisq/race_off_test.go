//go:build !race

package redisq_test

const raceDetector = false
