package pipeline

import "testing"

func TestSharesOfStagesAreAWhole(t *testing.T) {
	sum := 0.0
	for _, row := range StageTable() {
		sum += row.Share
		if row.Slots < 1 {
			t.Errorf("%s has no slot", row.Stage)
		}
	}
	if sum != 100 {
		t.Errorf("the shares of all stages are %v%%", sum)
	}
}
