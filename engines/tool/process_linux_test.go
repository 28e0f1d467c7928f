package tool

func hasParentDeathSignal() bool { return true }
