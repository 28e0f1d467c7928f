//go:build !linux

package load

import "errors"

func mountDisk(string) error { return errors.ErrUnsupported }
