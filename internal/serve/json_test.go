package serve_test

import (
	"strings"
	"testing"

	"github.com/splatworks/splatworks/internal/serve"
)

// TestNamesAreSpelledAsDocumented: encoding/json takes other spellings too, which a gateway before it would not see.
func TestNamesAreSpelledAsDocumented(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"session_id":"a"}`:                    true,
		`{"session_id":"\u017f"}`:               true, // a value is its sender's own
		`{"SESSION_ID":"a"}`:                    false,
		`{"\u017fession_id":"a"}`:               false,
		`{"options":{"\u017fky":"on"}}`:         false,
		`{"files":[{"\u017fize":1}]}`:           false,
		"{\"\u017fession_id\":\"a\"}":           false,
		"{\"session_id\":1,\"\u212aey\":\"a\"}": false,
		`{"a":1,"a":2}`:                         false,
		`{} {}`:                                 false,
		`[]`:                                    false,
	} {
		if err := serve.CheckJSON([]byte(body)); (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestErrorsNameNoTypesOfThisProgram(t *testing.T) {
	type inner struct {
		MaxImages int      `json:"max_images"`
		Budget    float64  `json:"budget"`
		Seed      uint64   `json:"seed"`
		Refine    bool     `json:"refine"`
		Names     []string `json:"names"`
	}
	var v struct {
		Session string `json:"session_id"`
		Options inner  `json:"options"`
	}
	for body, want := range map[string]string{
		`{"session_id":1}`:                     "session_id must be text",
		`{"options":3}`:                        "options must be an object",
		`{"options":{"max_images":"many"}}`:    "options.max_images must be a whole number",
		`{"options":{"max_images":1e30}}`:      "options.max_images must be a whole number",
		`{"options":{"budget":1e400}}`:         "options.budget must be a number",
		`{"options":{"seed":-1}}`:              "options.seed must be a whole number that is not negative",
		`{"options":{"refine":"yes"}}`:         "options.refine must be true or false",
		`{"options":{"names":"a"}}`:            "options.names must be a list",
		`{"admin":true}`:                       `there is no field "admin"`,
		`{"session_id":"a","options":{"x":1}}`: `there is no field "x"`,
	} {
		err := serve.DecodeJSON([]byte(body), &v)
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}
