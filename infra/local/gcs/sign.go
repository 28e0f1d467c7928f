package gcs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AccountEmail is the one service account whose signatures this storage accepts.
const AccountEmail = "splatworks@local.iam.gserviceaccount.com"

const (
	maxExpiry = 7 * 24 * time.Hour // documentation, "V4 signing": at most 604800 seconds
	maxSkew   = 15 * time.Minute
)

// Account is what a signer needs: the service account and its private key (PEM, PKCS #8). Its holder may sign
// URLs for every object here.
func (s *Server) Account() (email string, privateKey []byte) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil { // an RSA key can be encoded
		panic(err)
	}
	return AccountEmail, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func loadKey(d disk, path string) (*rsa.PrivateKey, error) {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(d, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return nil, fmt.Errorf("signing key %s is no PEM: delete it, and a new one is made", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	rsaKey, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("signing key %s is no RSA key (%v): delete it, and a new one is made", path, err)
	}
	return rsaKey, nil
}

func makeKey(d disk, path string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode signing key: %w", err)
	}
	body := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := d.writeFile(filepath.Dir(path), path, body); err != nil { // os.CreateTemp makes it 0600
		return nil, fmt.Errorf("keep signing key: %w", err)
	}
	return key, nil
}

func denied(status int, code, message string) *failure {
	return &failure{status, "forbidden", code, message}
}

// verify checks a V4 signature (documentation, "V4 signing process" and "Canonical requests").
func (s *Server) verify(r *http.Request, bucketName, name string) error {
	q := r.URL.Query()
	if q.Get("X-Goog-Signature") == "" {
		return denied(http.StatusForbidden, "AccessDenied", "Anonymous caller does not have access to the Google Cloud Storage object.")
	}
	if q.Get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256" {
		return denied(http.StatusBadRequest, "InvalidQueryParameterValue", "X-Goog-Algorithm must be GOOG4-RSA-SHA256.")
	}
	for key, values := range q {
		if strings.HasPrefix(strings.ToLower(key), "x-goog-") && len(values) != 1 {
			return denied(http.StatusBadRequest, "InvalidQueryParameterValue", key+" must be given once.")
		}
	}
	scope, err := s.checkScope(q)
	if err != nil {
		return err
	}
	canonical, err := canonicalRequest(r, q, bucketName, name)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{"GOOG4-RSA-SHA256", q.Get("X-Goog-Date"), scope, hex.EncodeToString(sum[:])}, "\n")
	digest := sha256.Sum256([]byte(toSign))
	signature, err := hex.DecodeString(q.Get("X-Goog-Signature"))
	if err != nil || rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return denied(http.StatusForbidden, "SignatureDoesNotMatch",
			"The signature does not fit the request: send exactly the method, host and headers that were signed. Canonical request:\n"+canonical)
	}
	return nil
}

// checkScope checks who signed, for what and until when.
func (s *Server) checkScope(q url.Values) (scope string, err error) {
	email, scope, _ := strings.Cut(q.Get("X-Goog-Credential"), "/")
	parts := strings.Split(scope, "/")
	signedAt, err := time.Parse("20060102T150405Z", q.Get("X-Goog-Date"))
	if err != nil || len(parts) != 4 || parts[0] != signedAt.Format("20060102") || parts[2] != "storage" || parts[3] != "goog4_request" {
		return "", denied(http.StatusBadRequest, "AuthorizationQueryParametersError", "X-Goog-Credential and X-Goog-Date do not fit together.")
	}
	if email != AccountEmail {
		return "", denied(http.StatusForbidden, "AccessDenied", "This service account has no access: "+email)
	}
	seconds, err := strconv.ParseInt(q.Get("X-Goog-Expires"), 10, 64)
	if err != nil || seconds < 1 || seconds > int64(maxExpiry/time.Second) {
		return "", denied(http.StatusBadRequest, "AuthorizationQueryParametersError", "X-Goog-Expires must be 1 to 604800 seconds.")
	}
	now := s.o.Now()
	if now.After(signedAt.Add(time.Duration(seconds) * time.Second)) {
		return "", denied(http.StatusBadRequest, "ExpiredToken", "The signed URL has expired.")
	}
	if signedAt.Sub(now) > maxSkew {
		return "", denied(http.StatusForbidden, "RequestTimeTooSkewed", "The URL was signed in the future.")
	}
	return scope, nil
}

func canonicalRequest(r *http.Request, q url.Values, bucketName, name string) (string, error) {
	signed := strings.Split(q.Get("X-Goog-SignedHeaders"), ";")
	if !slices.Contains(signed, "host") {
		return "", denied(http.StatusBadRequest, "MalformedSecurityHeader", "The header host must be signed.")
	}
	for header := range r.Header {
		header = strings.ToLower(header)
		if strings.HasPrefix(header, "x-goog-") && !slices.Contains(signed, header) {
			return "", denied(http.StatusBadRequest, "MalformedSecurityHeader", "The header "+header+" was sent but not signed.")
		}
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n/" + encodePath(bucketName) + "/" + encodePath(name) + "\n")
	rest := url.Values{}
	for k, v := range q {
		if k != "X-Goog-Signature" {
			rest[k] = v
		}
	}
	b.WriteString(strings.ReplaceAll(rest.Encode(), "+", "%20") + "\n")
	for _, header := range signed {
		values := slices.Clone(r.Header.Values(header))
		if header == "host" {
			values = []string{hostName(r.Host)}
		}
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(header + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n")
	if v := r.Header.Get("X-Goog-Content-Sha256"); v != "" && v != "UNSIGNED-PAYLOAD" {
		return "", &failure{http.StatusNotImplemented, "notImplemented", "NotImplemented", "The local storage does not verify x-goog-content-sha256."}
	}
	b.WriteString("UNSIGNED-PAYLOAD")
	return b.String(), nil
}

// hostName is the signed host: the client library signs it without a port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// encodePath escapes a path as V4 signatures want it: everything but unreserved characters and "/".
func encodePath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = strings.ReplaceAll(url.QueryEscape(segment), "+", "%20")
	}
	return strings.Join(segments, "/")
}
