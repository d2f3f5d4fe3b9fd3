// Writes into each case of the file that is named by the argument which proxy Go takes for its URLs: nothing means none.
package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

type testCase struct {
	Env     map[string]string `json:"env"`
	Proxies map[string]string `json:"proxies"`
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var cases []testCase
	check(json.Unmarshal(text, &cases))
	for _, one := range cases {
		os.Clearenv()
		for name, value := range one.Env {
			os.Setenv(name, value)
		}
		proxyOf := httpproxy.FromEnvironment().ProxyFunc()
		for target := range one.Proxies {
			parsed, err := url.Parse(target)
			check(err)
			proxy, err := proxyOf(parsed)
			check(err)
			one.Proxies[target] = ""
			if proxy != nil {
				one.Proxies[target] = proxy.String()
			}
		}
	}
	var lines [][]byte
	for _, one := range cases {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		check(encoder.Encode(one))
		lines = append(lines, bytes.TrimSpace(line.Bytes()))
	}
	result := "[\n" + string(bytes.Join(lines, []byte(",\n"))) + "\n]\n"
	check(os.WriteFile(os.Args[1], []byte(result), 0o644))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
