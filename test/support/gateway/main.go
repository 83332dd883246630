// A gateway as it stands in front of Temporal: TLS with client certificates, and an API key in each request. Go's TLS says why
// it refuses a certificate, as Temporal's own server does. All files are read anew for each connection and each request.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

var (
	target   = flag.String("target", "", "host:port of the server, without TLS")
	cert     = flag.String("cert", "", "PEM file")
	key      = flag.String("key", "", "PEM file")
	clientCA = flag.String("client-ca", "", "PEM file of the authorities whose certificates clients must show; none: no certificate")
	apiKeys  = flag.String("api-keys", "", "file with one key a line, one of which each request must have; none: no key")
)

// For each handshake. Prints whose certificate was shown.
func tlsConfig(*tls.ClientHelloInfo) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, SessionTicketsDisabled: true}
	if *clientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(*clientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + *clientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		fmt.Println("shown", state.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	return config, nil
}

func isKnown(authorization string) bool {
	text, err := os.ReadFile(*apiKeys)
	given, found := strings.CutPrefix(authorization, "Bearer ")
	if err != nil || !found {
		return false
	}
	for _, known := range strings.Fields(string(text)) {
		if known == given {
			return true
		}
	}
	return false
}

func main() {
	flag.Parse()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	proxy := &httputil.ReverseProxy{
		Transport:     &http.Transport{Protocols: &protocols},
		FlushInterval: -1,
		ErrorLog:      log.New(os.Stderr, "", 0),
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme = "http"
			request.Out.URL.Host = *target
			request.Out.Header.Del("Authorization")
		},
	}
	handler := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if *apiKeys != "" && !isKnown(request.Header.Get("Authorization")) {
			header := response.Header()
			header.Set("Content-Type", "application/grpc")
			header.Set("Grpc-Status", "16")
			header.Set("Grpc-Message", "Request unauthorized: this API key is not known")
			return
		}
		proxy.ServeHTTP(response, request)
	})
	var open sync.Map
	server := &http.Server{
		Handler:   handler,
		ErrorLog:  log.New(os.Stderr, "", 0),
		TLSConfig: &tls.Config{GetConfigForClient: tlsConfig, NextProtos: []string{"h2"}},
		ConnState: func(connection net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				open.Delete(connection)
			} else {
				open.Store(connection, nil)
			}
		},
	}
	// Every client has to connect anew.
	cut := make(chan os.Signal, 1)
	signal.Notify(cut, syscall.SIGUSR1)
	go func() {
		for range cut {
			open.Range(func(connection, _ any) bool {
				_ = connection.(net.Conn).Close()
				return true
			})
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr())
	log.Fatal(server.ServeTLS(listener, *cert, *key))
}
