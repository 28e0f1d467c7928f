package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Mailer is the deployment's mail server, and what its mails name.
type Mailer struct {
	host    string
	options []gomail.Option
	tls     *tls.Config // for TLS from the first byte; nil: STARTTLS
	from    *mail.Address
	link    string // address of the request API, without a slash at the end
	page    bool   // whether the page for people is there, too
}

// NewMailer makes a Mailer. server is smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the first byte; without a user it logs
// in nowhere, and without a port it takes 587, or 465. smtp:// demands STARTTLS unless the host is this machine. from is what mails
// come from ("Splatworks <splats@example.com>"), link where their readers reach the request API.
func NewMailer(server, from, link string, page bool) (*Mailer, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("the mail server must be smtp://USER:PASSWORD@HOST:PORT or smtps://...") // never its text: it holds a password
	}
	sender, err := mail.ParseAddress(from)
	if err != nil || !mailAddress.MatchString(sender.Address) {
		return nil, errors.New("the sender of mails must be an address, like Splatworks <splats@example.com>")
	}
	to, err := url.Parse(link)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Host == "" || to.RawQuery != "" || to.Fragment != "" {
		return nil, errors.New("the address that links in mails lead to must be that of the request API, like https://splats.example.com")
	}
	m := &Mailer{host: u.Hostname(), from: sender, link: strings.TrimSuffix(link, "/"), page: page}
	if u.Scheme == "smtps" {
		m.tls = &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	}
	if m.options, err = m.serverOptions(u); err != nil {
		return nil, err
	}
	if _, err := gomail.NewClient(m.host, m.options...); err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	return m, nil
}

func (m *Mailer) serverOptions(u *url.URL) ([]gomail.Option, error) {
	port, policy := 587, gomail.TLSMandatory
	if m.tls != nil {
		port, policy = 465, gomail.TLSOpportunistic // the connection has it before the library sees it
	} else if onThisMachine(m.host) {
		policy = gomail.TLSOpportunistic
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, errors.New("the mail server's port must be a number below 65536")
		}
		port = int(n)
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(AnswerWithin), gomail.WithoutNoop(), gomail.WithoutSMTPUTF8(), gomail.WithTLSPolicy(policy)}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
	}
	return options, nil
}

func onThisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (m *Mailer) domain() string {
	_, domain, _ := strings.Cut(m.from.Address, "@")
	return domain
}

// send delivers a mail once. final says why another try is of no use, if it is not. No error has a word of the server in it: servers
// repeat the address. It ends within AnswerWithin, and continues when the sender of the message hangs up.
func (m *Mailer) send(ctx context.Context, l letter, address string, at time.Time) (status int, trouble, final string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AnswerWithin)
	defer cancel()
	message, err := m.message(l, address, at)
	if err != nil {
		return 0, "the mail cannot be written", "the mail cannot be written"
	}
	client, err := gomail.NewClient(m.host, append(slices.Clone(m.options), gomail.WithDialContextFunc(m.dialUntil(ctx)))...)
	if err == nil {
		err = client.DialAndSendWithContext(ctx, message)
	}
	if err == nil || message.IsDelivered() { // a server that took it and hung up has it
		return 250, "", ""
	}
	refused := (*gomail.SendError)(nil)
	if !errors.As(err, &refused) {
		return 0, "the mail server cannot be reached, or refuses to talk: " + kind(err), ""
	}
	status, trouble = refused.ErrorCode(), "the mail server refused: "+refused.Reason.String()
	if refused.Reason == gomail.ErrSMTPRcptTo && status >= 500 {
		final = "the mail server knows no such address"
	}
	return status, trouble, final
}

// kind is an error of a connection in words that hold nothing that came from the server.
func kind(err error) string {
	var at *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &at):
		return at.Op + " failed"
	}
	return "TLS or login failed"
}

// dialUntil makes connections that close when ctx ends: the library would extend their deadlines with every step.
func (m *Mailer) dialUntil(ctx context.Context) gomail.DialContextFunc {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = c.Close() })
		if m.tls == nil {
			return c, nil
		}
		secure := tls.Client(c, m.tls)
		if err := secure.HandshakeContext(dialing); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return secure, nil
	}
}

func (m *Mailer) message(l letter, address string, at time.Time) (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	message.FromMailAddress(m.from)
	if err := message.To(address); err != nil {
		return nil, err
	}
	message.Subject(l.subject)
	message.SetDateWithValue(at)
	message.SetMessageIDWithValue(l.id) // the same with every try, so that a second copy is recognised
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetGenHeader("List-Unsubscribe", "<"+l.unsubscribe+">")
	message.SetGenHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click") // RFC 8058
	message.SetBodyString(gomail.TypeTextPlain, l.text)
	return message, nil
}
