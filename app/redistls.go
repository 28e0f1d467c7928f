package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// signedBy trusts a server whose certificate authority signed, whatever name it bears: Memorystore's certificates do not
// name the address that clients connect to, and each instance has an authority of its own, so the signature says it all.
func signedBy(authority *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection verifies instead, all but the name
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("redis server shows no certificate")
			}
			intermediates := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				intermediates.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: authority, Intermediates: intermediates})
			return err
		},
	}
}
