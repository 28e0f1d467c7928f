package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestFailureIsFoundThroughWrappings(t *testing.T) {
	f := New(Input, "no_detail", "Come closer.", "%s shows nothing.", "a.jpg").Because(fs.ErrNotExist)
	err := fmt.Errorf("measuring: %w", f)
	if Of(err) != f || CodeOf(err) != "no_detail" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: failure %v, code %q", err, Of(err), CodeOf(err))
	}
	if want := "a.jpg shows nothing. (no_detail): file does not exist"; f.Error() != want {
		t.Errorf("%q, not %q", f.Error(), want)
	}
	for _, err := range []error{nil, fs.ErrNotExist} {
		if Of(err) != nil || CodeOf(err) != "" {
			t.Errorf("%v is taken for a failure", err)
		}
	}
}

func TestMessagesHoldNoControlCharacters(t *testing.T) {
	const said = "\x1b]0;x\x07 \u009b"
	for _, message := range []string{New(Broken, "c", "", "%s", said).Message, Warn("c", "", "%s", said).Message} {
		if strings.ContainsAny(message, "\x1b\x07\u009b") {
			t.Errorf("%q", message)
		}
	}
}
