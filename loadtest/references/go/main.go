// A bare fan-out on net/http and nothing else.
//
//	fanout -ca FILE PLAIN_PORTS TLS_PORTS     comma-separated; prints `listens on http://127.0.0.1:PORT`
//
// POST /N asks the first N buyers with the body that came, POST /tls/N the first N over TLS, all at once over
// connections that are kept; when all have answered, so does it. The transport may keep as many connections as it
// likes, the garbage collector has its defaults.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

type answers struct {
	Answers int `json:"answers"`
}

var client *http.Client

func ask(url string, body []byte) bool {
	response, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	bid, err := io.ReadAll(response.Body)
	return err == nil && len(bid) > 0 && response.StatusCode == http.StatusOK
}

func fanOut(urls []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		count, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		body, failed := io.ReadAll(r.Body)
		if err != nil || failed != nil || count < 1 || count > len(urls) {
			http.Error(w, "expected a body, and a path such as /10", http.StatusBadRequest)
			return
		}
		answered := make([]bool, count)
		var all sync.WaitGroup
		all.Add(count)
		for at, url := range urls[:count] {
			go func() {
				defer all.Done()
				answered[at] = ask(url, body)
			}()
		}
		all.Wait()
		var said answers
		for _, one := range answered {
			if one {
				said.Answers++
			}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(said)
	}
}

func urlsOf(scheme, ports string) []string {
	var urls []string
	for _, port := range strings.Split(ports, ",") {
		if port != "" {
			urls = append(urls, scheme+"://127.0.0.1:"+port+"/ping")
		}
	}
	return urls
}

func main() {
	ca := flag.String("ca", "", "PEM file of the authority that the buyers' certificates are of")
	flag.Parse()
	trust := x509.NewCertPool()
	if pem, err := os.ReadFile(*ca); err == nil {
		trust.AppendCertsFromPEM(pem)
	}
	client = &http.Client{Transport: &http.Transport{
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 1024,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{RootCAs: trust},
	}}
	http.HandleFunc("POST /", fanOut(urlsOf("http", flag.Arg(0))))
	http.HandleFunc("POST /tls/", fanOut(urlsOf("https", flag.Arg(1))))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listens on http://%s\n", listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}
