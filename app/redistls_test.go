package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority makes a certificate authority and one server certificate that names no address.
func authority(t *testing.T, notAfter time.Time) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rootKey, serverKey := newKey(), newKey()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root = sign(root, root, rootKey, rootKey)
	server := sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "10.0.0.3"}, NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, root, serverKey, rootKey)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return pool, tls.Certificate{Certificate: [][]byte{server.Raw, root.Raw}, PrivateKey: serverKey}
}

func TestSignedBy(t *testing.T) {
	ours, server := authority(t, time.Now().Add(time.Hour))
	_, stranger := authority(t, time.Now().Add(time.Hour))
	expiredPool, expired := authority(t, time.Now().Add(-time.Minute))
	for _, test := range []struct {
		name    string
		trusted *x509.CertPool
		server  tls.Certificate
		want    bool
	}{
		{"our authority, no name", ours, server, true},
		{"another authority", ours, stranger, false},
		{"expired", expiredPool, expired, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, peer := net.Pipe()
			defer client.Close()
			defer peer.Close()
			go tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{test.server}}).HandshakeContext(t.Context())
			err := tls.Client(client, signedBy(test.trusted)).HandshakeContext(t.Context())
			if (err == nil) != test.want {
				t.Errorf("handshake: %v, want accepted: %t", err, test.want)
			}
		})
	}
}
