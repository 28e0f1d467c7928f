package notify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// mailTarget is whom the end of a request is mailed to.
type mailTarget struct {
	Address string `json:"address"`
}

// mailAddress is what browsers take in a field for an address (HTML Standard, "valid e-mail address"), with a dot in the domain and no
// backquote. It has no space, no line end, no quote and no list in it, so that it is one address in every header.
var mailAddress = regexp.MustCompile(`^[a-zA-Z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+$`)

// maxAddressBytes is what a mail server takes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
const maxAddressBytes = 254

// CheckAddress says, in words for the client, what is wrong with an e-mail address. It never repeats it.
func (s *Service) CheckAddress(address string) error {
	switch {
	case len(address) > maxAddressBytes:
		return fmt.Errorf("it has more than %d characters", maxAddressBytes)
	case !mailAddress.MatchString(address):
		return errors.New("it must be one address of the form name@example.org, in ASCII")
	}
	return nil
}

// RegisterAddress keeps the address that is mailed when a request ends. Registering again changes nothing.
func (s *Service) RegisterAddress(ctx context.Context, requestID, address string) error {
	_, err := artifacts.PutJSON(ctx, s.Store, s.Bucket, artifacts.MailTargetName(requestID), mailTarget{address}, artifacts.PutOptions{DoesNotExist: true})
	if err != nil && !errors.Is(err, artifacts.ErrExists) {
		return fmt.Errorf("keep address: %w", err)
	}
	return nil
}

// mail sends the mail of a request that was COMPLETED or FAILED, if an address was given and was not mailed before.
func (s *Service) mail(ctx context.Context, f Finished, message string) error {
	if s.Mail == nil || f.Status == pipeline.Canceled {
		return nil
	}
	var t mailTarget
	found, err := s.read(ctx, artifacts.MailTargetName(f.RequestID), &t)
	if err != nil || !found {
		return err
	}
	return s.once(ctx, mails, f.RequestID, message, func(ctx context.Context) (delivery, error) { return s.write(ctx, f, t.Address) })
}

// write makes one try to deliver a mail.
func (s *Service) write(ctx context.Context, f Finished, address string) (delivery, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return delivery{}, err
	}
	if gone, err := s.unsubscribed(ctx, keys, address); err != nil || gone {
		return delivery{At: s.Now().UTC(), final: "the address wants no mails"}, err
	}
	failure, err := s.failure(ctx, f)
	if err != nil {
		return delivery{}, err
	}
	l := s.Mail.letter(f, failure, unsubscribeToken(keys[0], address))
	start := s.Now().UTC()
	d := delivery{At: start}
	d.Status, d.Error, d.final = s.Mail.send(ctx, l, address, start)
	d.LatencyS = s.Now().Sub(start).Seconds()
	return d, nil
}

// letter is what a mail says.
type letter struct{ id, subject, text, unsubscribe string }

// letter writes the mail about the end of a request.
func (m *Mailer) letter(f Finished, failure *pipeline.Failure, unsubscribe string) letter {
	l := letter{id: f.RequestID + "." + strings.ToLower(string(f.Status)) + "@" + m.domain(), unsubscribe: m.link + UnsubscribePath + "?" + unsubscribe}
	capture := "your capture"
	if harmless(f.SessionID) {
		capture += " " + f.SessionID
	}
	var b strings.Builder
	if f.Status == pipeline.Completed {
		l.subject = "Your 3D scene is ready"
		fmt.Fprintf(&b, "The 3D scene of %s is ready.\n", capture)
	} else {
		l.subject = "Your capture did not become a 3D scene"
		fmt.Fprintf(&b, "The reconstruction of %s has failed.\n", capture)
		if failure != nil && harmless(failure.Message) && harmless(failure.Advice) {
			fmt.Fprintf(&b, "\nWhat happened: %s\nWhat to do: %s\n", failure.Message, failure.Advice)
		}
	}
	if m.page {
		fmt.Fprintf(&b, "\nOpen it in the browser that sent the capture:\n%s/#/c/%s\n", m.link, f.RequestID)
	} else {
		fmt.Fprintf(&b, "\nIts status, for the holder of its callback token:\n%s/status/%s\n", m.link, f.RequestID)
	}
	if f.Status == pipeline.Completed {
		b.WriteString("\nResults are kept for a limited time: download what you want to keep.\n")
	}
	fmt.Fprintf(&b, "\n-- \nThis address was given with the capture. It gets this one mail about it.\nNo further mails to this address, about any capture: %s\n", l.unsubscribe)
	l.text = b.String()
	return l
}

// maxWords bounds a text of the client's, or from a tool, in a mail.
const maxWords = 500

// harmless says whether a text that a client may have chosen parts of can be in a mail to an address that the client chose, too: one
// line in which no mail program finds a link.
func harmless(text string) bool {
	return text != "" && len(text) <= maxWords && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("/@\\<>", r) }) &&
		!dotInside.MatchString(text)
}

// dotInside finds what may be the name of a host, and numbers like 1.5 with it.
var dotInside = regexp.MustCompile(`\.[^\s]`)

// UnsubscribePath is where links in mails lead, with a token as the whole query.
const UnsubscribePath = "/unsubscribe"
