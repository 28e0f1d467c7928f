package pipeline

import "testing"

func TestPlanSetsWhatWasTakenBesideWhatWasExpected(t *testing.T) {
	p := Plan{Stages: []StagePlan{{Stage: Preprocess, PlannedWallS: 60}, {Stage: Train, PlannedWallS: 75}}}
	if p.WallS() != 135 {
		t.Errorf("planned %v s", p.WallS())
	}
	p.Took(Train, 76.5, 1<<30)
	p.Took(Depth, 5, 1)
	if p.Stages[0].WallS != 0 || p.Stages[1] != (StagePlan{Stage: Train, PlannedWallS: 75, WallS: 76.5, PeakRSSBytes: 1 << 30}) {
		t.Errorf("stages %+v", p.Stages)
	}
}

func TestPresetsGrow(t *testing.T) {
	edge, features := 0, 0
	for _, preset := range []Preset{Preview, Standard, High} {
		o := Options{Preset: preset}.WithDefaults()
		if o.LongEdgePx <= edge || o.Features() <= features {
			t.Errorf("%s: %d pixels, %d features", preset, o.LongEdgePx, o.Features())
		}
		edge, features = o.LongEdgePx, o.Features()
		r := Request{Options: Options{Preset: preset}}
		card := r.CardLongEdgePx()
		if card <= edge || card > 1600 {
			t.Errorf("%s: %d pixels on a card, %d on the processor", preset, card, edge)
		}
		for limit, want := range map[int]int{card - 1: card - 1, card + 1: card} {
			if r.CardLimitPx = limit; r.CardLongEdgePx() != want {
				t.Errorf("%s: %d pixels under a limit of %d", preset, r.CardLongEdgePx(), limit)
			}
		}
		if r.Options.LongEdgePx = 500; r.CardLongEdgePx() != 500 {
			t.Errorf("%s: %d pixels where 500 were asked for", preset, r.CardLongEdgePx())
		}
	}
}
