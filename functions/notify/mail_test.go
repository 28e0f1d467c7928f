package notify_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// sink is a mail server on this machine that keeps what it takes.
type sink struct {
	net.Listener
	mu      sync.Mutex
	rcpt    []string // answers to RCPT TO, one after the other; then 250
	taken   []string // messages
	hangsUp bool     // as soon as it has taken a message
}

func newSink(t *testing.T, rcpt ...string) *sink {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{Listener: l, rcpt: rcpt}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { s.session(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); sessions.Wait() })
	return s
}

func (s *sink) session(c net.Conn) {
	defer c.Close()
	say := func(line string) { _, _ = fmt.Fprintf(c, "%s\r\n", line) }
	say("220 sink")
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "RCPT":
			s.mu.Lock()
			answer := "250 ok"
			if len(s.rcpt) > 0 {
				answer, s.rcpt = s.rcpt[0], s.rcpt[1:]
			}
			s.mu.Unlock()
			say(answer)
		case "DATA":
			say("354 go")
			var message strings.Builder
			for line, err := in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				message.WriteString(strings.TrimPrefix(line, ".")) // a dot at the start is sent twice (RFC 5321, section 4.5.2)
			}
			s.mu.Lock()
			s.taken = append(s.taken, message.String())
			hangsUp := s.hangsUp
			s.mu.Unlock()
			say("250 taken")
			if hangsUp {
				return
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *sink) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// mailing is a notifier that mails through a server.
func mailing(t *testing.T, server string, page bool) (*notify.Service, *memory.Store, *bytes.Buffer) {
	t.Helper()
	s, store, log := service(t, nil, "new key", "old key")
	m, err := notify.NewMailer(server, "Splatworks <splats@example.com>", "https://splats.example.com/", page)
	if err != nil {
		t.Fatal(err)
	}
	s.Mail = m
	return s, store, log
}

func (s *sink) url() string { return "smtp://" + s.Addr().String() }

const address = "Ada.Lovelace+splats@example.org"

func register(t *testing.T, s *notify.Service, requestID, address string) {
	t.Helper()
	if err := s.RegisterAddress(t.Context(), requestID, address); err != nil {
		t.Fatal(err)
	}
}

func parsed(t *testing.T, text string) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || m.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Fatal(err, m.Header)
	}
	return m.Header, string(body)
}

func TestOneMailARequest(t *testing.T) {
	server := newSink(t)
	s, store, log := mailing(t, server.url(), true)
	register(t, s, id, address)
	register(t, s, id, "somebody@else.example") // a call that is repeated
	for _, event := range []string{"1", "1", "2"} {
		e := message(t, notify.Finished{RequestID: id, SessionID: "kitchen-1", Status: pipeline.Completed})
		e.SetID(event)
		if err := s.Receive(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if len(server.messages()) != 1 {
		t.Fatalf("%d mails", len(server.messages()))
	}
	h, body := parsed(t, server.messages()[0])
	if h.Get("To") != "<"+address+">" || h.Get("Subject") != "Your 3D scene is ready" || !strings.Contains(h.Get("From"), "<splats@example.com>") ||
		h.Get("Message-ID") != "<"+id+".completed@example.com>" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("%v", h)
	}
	link := strings.Trim(h.Get("List-Unsubscribe"), "<>")
	for _, want := range []string{"kitchen-1 is ready", "https://splats.example.com/#/c/" + id, link} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in\n%s", want, body)
		}
	}
	if !strings.HasPrefix(link, "https://splats.example.com/unsubscribe?") {
		t.Errorf("unsubscribe at %q", link)
	}
	noAddress(t, store, log, artifacts.MailTargetName(id))
}

// noAddress fails where the address is in the log, or in another object than the one that keeps it.
func noAddress(t *testing.T, store *memory.Store, log *bytes.Buffer, but string) {
	t.Helper()
	if strings.Contains(strings.ToLower(log.String()), "lovelace") {
		t.Errorf("logged: %s", log)
	}
	seen := false
	for o, err := range store.List(t.Context(), "artifacts", "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		has := strings.Contains(strings.ToLower(o.Name+string(body)), "lovelace")
		seen = seen || has
		if has && o.Name != but {
			t.Errorf("%s: %s", o.Name, body)
		}
	}
	if seen != (but != "") {
		t.Errorf("the address is kept: %v", seen)
	}
}

func TestMailSaysWhyInPlainWords(t *testing.T) {
	for name, c := range map[string]struct {
		failure      *pipeline.Failure
		status       pipeline.Status
		session      string
		has, hasNot  []string
		mails, pages int
	}{
		"failed":   {pipeline.Invalid("no_video", "The file holds no video.", "Send a video or photos."), pipeline.Failed, "s-1", []string{"of your capture s-1 has failed", "What happened: The file holds no video.", "What to do: Send a video or photos."}, nil, 1, 1},
		"a link":   {pipeline.Invalid("no_video", "evil.example/now holds no video.", "Send it."), pipeline.Failed, "evil.example", []string{"of your capture has failed"}, []string{"evil", "What to do"}, 1, 1},
		"no words": {nil, pipeline.Failed, "s-1", []string{"has failed"}, []string{"What happened"}, 1, 1},
		"no page":  {nil, pipeline.Completed, "s-1", []string{"https://splats.example.com/status/" + id}, []string{"#/c/"}, 1, 0},
		"canceled": {nil, pipeline.Canceled, "s-1", nil, nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := newSink(t)
			s, store, _ := mailing(t, server.url(), c.pages == 1)
			register(t, s, id, address)
			if _, err := artifacts.PutJSON(t.Context(), store, "artifacts", artifacts.OutcomeName(id), queue.Outcome{Status: c.status, Failure: c.failure, At: now}, artifacts.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, SessionID: c.session, Status: c.status})); err != nil {
				t.Fatal(err)
			}
			if len(server.messages()) != c.mails {
				t.Fatalf("%d mails", len(server.messages()))
			}
			for _, text := range server.messages() {
				_, body := parsed(t, text)
				for _, want := range c.has {
					if !strings.Contains(body, want) {
						t.Errorf("%q is not in\n%s", want, body)
					}
				}
				for _, bad := range c.hasNot {
					if strings.Contains(body, bad) {
						t.Errorf("%q is in\n%s", bad, body)
					}
				}
			}
		})
	}
}

// TestMailThatIsRefused: for now it is retried, with no word of a server that repeats addresses; for good it is not.
func TestMailThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		rcpt         []string
		tries, mails int
	}{
		"for now":  {[]string{"451 4.2.1 <" + address + "> is busy", "421 later"}, 3, 1},
		"for good": {[]string{"550 5.1.1 <" + address + ">: no such user", "550 again", "550 again"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := newSink(t, c.rcpt...)
			s, store, log := mailing(t, server.url(), true)
			register(t, s, id, address)
			e := message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Completed})
			for n := range 4 {
				err := s.Receive(t.Context(), e)
				if (err != nil) != (n < c.tries-1) {
					t.Errorf("try %d: %v", n+1, err)
				}
				if err != nil && strings.Contains(err.Error(), "Lovelace") {
					t.Error(err)
				}
			}
			var kept struct{ Attempts []struct{ Status int } }
			if err := artifacts.GetJSON(t.Context(), store, pipeline.Object{Bucket: "artifacts", Name: artifacts.MailLogName(id)}, &kept, 1<<20); err != nil || len(kept.Attempts) != c.tries {
				t.Errorf("kept %+v, %v", kept, err)
			}
			if len(server.messages()) != c.mails {
				t.Errorf("%d mails", len(server.messages()))
			}
			noAddress(t, store, log, artifacts.MailTargetName(id))
		})
	}
}

func TestServerThatHangsUpHasTheMail(t *testing.T) {
	server := newSink(t)
	server.hangsUp = true
	s, _, _ := mailing(t, server.url(), true)
	register(t, s, id, address)
	e := message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Completed})
	for range 2 {
		if err := s.Receive(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	if len(server.messages()) != 1 {
		t.Errorf("%d mails", len(server.messages()))
	}
}

// TestMailAndWebhookAreTheirOwn: a mail server that is down brings the message back, and the webhook that was delivered stays so.
func TestMailAndWebhookAreTheirOwn(t *testing.T) {
	r, server := newReceiver(t), newSink(t)
	down := server.url()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	s, _, _ := service(t, r, "key")
	m, err := notify.NewMailer(down, "splats@example.com", "https://splats.example.com", true)
	if err != nil {
		t.Fatal(err)
	}
	s.Mail = m
	register(t, s, id, address)
	if _, err := s.Register(t.Context(), id, r.URL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Completed})); err == nil {
			t.Error("the message does not come again")
		}
	}
	if len(r.bodies) != 1 {
		t.Errorf("%d webhooks", len(r.bodies))
	}
}

func TestUnsubscribe(t *testing.T) {
	server := newSink(t)
	s, store, log := mailing(t, server.url(), true)
	register(t, s, id, address)
	finish := func(id string) {
		t.Helper()
		if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Completed})); err != nil {
			t.Fatal(err)
		}
	}
	finish(id)
	h, _ := parsed(t, server.messages()[0])
	_, token, _ := strings.Cut(strings.Trim(h.Get("List-Unsubscribe"), "<>"), "?")
	other, _, _ := service(t, nil, "another key")
	flipped := []byte(token)
	flipped[3] ^= 1
	for _, forged := range []string{"", "x", string(flipped), token[:32] + strings.Repeat("0", 32), token + "0", strings.ToUpper(token), strings.Repeat("../", 21) + "."} {
		if known, err := s.Unsubscribe(t.Context(), forged); known || err != nil {
			t.Errorf("%q: %v %v", forged, known, err)
		}
	}
	if known, err := other.Unsubscribe(t.Context(), token); known || err != nil {
		t.Errorf("another deployment: %v %v", known, err)
	}
	for range 2 {
		if known, err := s.Unsubscribe(t.Context(), token); !known || err != nil {
			t.Errorf("%v %v", known, err)
		}
	}
	second, third := strings.Replace(id, "x", "y", 1), strings.Replace(id, "x", "z", 1)
	register(t, s, second, strings.ToLower(address))
	finish(second)
	if len(server.messages()) != 1 {
		t.Error("mailed after unsubscribing")
	}
	register(t, s, third, "somebody@else.example")
	finish(third)
	if len(server.messages()) != 2 {
		t.Error("somebody else is not mailed")
	}
	for _, requestID := range []string{id, second} { // as a purge does
		if err := store.Delete(t.Context(), pipeline.Object{Bucket: "artifacts", Name: artifacts.MailTargetName(requestID)}); err != nil {
			t.Fatal(err)
		}
	}
	noAddress(t, store, log, "")
}

func TestAddressesThatAreNone(t *testing.T) {
	s, _, _ := service(t, nil, "key")
	for _, bad := range []string{"", "ab", "a@b", "@example.com", "a@", "a b@example.com", "a@example.com\r\nBcc: b@example.com", "a@example.com\n", "\ta@example.com", "a@example.com,b@example.com",
		"A <a@example.com>", "<a@example.com>", `"a b"@example.com`, "a@[127.0.0.1]", "a@-example.com", "a@example..com", "ä@example.com", "a@exämple.com", "a@example.com\x00", "a`b@example.com",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a", 64) + ".com", "a@" + strings.Repeat("abcdefgh.", 40) + "com"} {
		err := s.CheckAddress(bad)
		if err == nil {
			t.Errorf("%q is taken", bad)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q is repeated", bad)
		}
	}
	for _, good := range []string{address, "a@example.com", "o'brien_1=2@sub.example.co.uk", "a@xn--exmple-cua.com"} {
		if err := s.CheckAddress(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestMailServersThatMakeNoSense(t *testing.T) {
	const from, link = "splats@example.com", "https://splats.example.com"
	for _, c := range [][3]string{{"", from, link}, {"http://example.com", from, link}, {"smtp://", from, link}, {"smtp://example.com:70000", from, link}, {"smtp://u:secret@example.com/x", from, link},
		{"smtp://example.com", "", link}, {"smtp://example.com", "x", link}, {"smtp://example.com", "a@example.com\r\nBcc: b@example.com", link},
		{"smtp://example.com", from, ""}, {"smtp://example.com", from, "splats.example.com"}, {"smtp://example.com", from, "https://splats.example.com/?a"}} {
		if _, err := notify.NewMailer(c[0], c[1], c[2], true); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", c, err)
		}
	}
	for _, good := range []string{"smtps://u:p@example.com", "smtp://example.com:25", "smtp://[::1]"} {
		if _, err := notify.NewMailer(good, from, link, true); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// TestMailNeedsTLS but on this machine itself: a server of another name that offers none gets nothing.
func TestMailNeedsTLS(t *testing.T) {
	server := newSink(t)
	_, port, _ := net.SplitHostPort(server.Addr().String())
	s, _, _ := mailing(t, "smtp://0.0.0.0:"+port, true) // where this machine answers, too
	register(t, s, id, address)
	if err := s.Receive(t.Context(), message(t, notify.Finished{RequestID: id, SessionID: "s", Status: pipeline.Completed})); err == nil || !strings.Contains(err.Error(), "TLS or login") {
		t.Errorf("%v", err)
	}
	if len(server.messages()) != 0 {
		t.Error("mailed in the clear")
	}
}
