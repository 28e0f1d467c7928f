package tool

func hasParentDeathSignal() bool { return false }
