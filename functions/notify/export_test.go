package notify

import "net/http"

// CallBy has another transport call receivers.
func (s *Service) CallBy(t http.RoundTripper) { s.client.Transport = t }
