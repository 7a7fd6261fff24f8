// Make many videos in one call, wait for all, save each. Needs Go 1.18 or newer, and no module.
//
//	BASE_URL=https://kling.example.com API_KEY=klp_… go run batch.go [folder]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const wanted = `{"name": "spring", "mode": "best_effort", "requests": [
  {"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "tags": ["spring"]},
  {"model": "kling-v2-5-turbo-std", "prompt": "Waves roll onto a pebble beach at dusk.", "size": "9:16"}]}`

type failure struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

type batch struct {
	ID     string    `json:"id"`
	Status string    `json:"status"`
	Errors []failure `json:"errors"`
}

type page struct {
	Data []struct {
		Status string  `json:"status"`
		URL    string  `json:"url"`
		Line   int     `json:"batch_line"`
		Error  failure `json:"error"`
	} `json:"data"`
}

var client = &http.Client{Timeout: 10 * time.Minute}

func main() {
	folder := "."
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	var made batch
	call("POST", "/batches", []byte(wanted), &made)
	for _, one := range made.Errors {
		fmt.Fprintf(os.Stderr, "not made: number %d: %s\n", one.Line, one.Message)
	}
	fmt.Println("taken:", made.ID)
	wait(made.ID)
	save(made.ID, folder)
}

// wait reads the batch until nothing of it is in the making.
func wait(id string) {
	for {
		var now batch
		call("GET", "/batches/"+id, nil, &now)
		switch now.Status {
		case "finished":
			return
		case "paused":
			giveUp("The batch has paused itself: too many have failed.")
		}
		time.Sleep(seconds(os.Getenv("POLL_SECONDS")))
	}
}

// save fetches what was made. Each link carries its own signature: no key is needed.
func save(id, folder string) {
	var found page
	call("GET", "/video/generations?batch="+id+"&order=asc&limit=100", nil, &found)
	for _, video := range found.Data {
		if video.Status == "failed" {
			fmt.Fprintf(os.Stderr, "failed: number %d: %s\n", video.Line, video.Error.Message)
			continue
		}
		response, err := client.Get(video.URL)
		check(err)
		if response.StatusCode != 200 {
			giveUp("the file: " + response.Status)
		}
		name := filepath.Join(folder, strconv.Itoa(video.Line)+".mp4")
		file, err := os.Create(name)
		check(err)
		_, err = io.Copy(file, response.Body)
		check(err)
		check(file.Close())
		check(response.Body.Close())
		fmt.Println("saved:", name)
	}
}

// call reads the answer into a value, or ends the program with the words of the refusal.
func call(method, path string, body []byte, into any) {
	// The name makes it safe to send this again after a broken line: it is still made once.
	name := fmt.Sprintf("batch-%d-%d", os.Getpid(), time.Now().UnixNano())
	for {
		request, err := http.NewRequest(method, strings.TrimSuffix(need("BASE_URL"), "/")+"/v1"+path, bytes.NewReader(body))
		check(err)
		request.Header.Set("Authorization", "Bearer "+need("API_KEY"))
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Idempotency-Key", name)
		}
		response, err := client.Do(request)
		check(err)
		answer, err := io.ReadAll(response.Body)
		check(err)
		check(response.Body.Close())
		switch response.StatusCode {
		case 200:
			check(json.Unmarshal(answer, into))
			return
		case 429, 503: // in a moment again
			time.Sleep(seconds(response.Header.Get("Retry-After")))
		default:
			giveUp(response.Status + ": " + string(answer))
		}
	}
}

// seconds reads a wait; without one it is five.
func seconds(text string) time.Duration {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		number = 5
	}
	return time.Duration(number * float64(time.Second))
}

func need(name string) string {
	value := os.Getenv(name)
	if value == "" {
		giveUp("Set BASE_URL, the address of the platform, and API_KEY, a key from your account page.")
	}
	return value
}

func check(err error) {
	if err != nil {
		giveUp(err.Error())
	}
}

func giveUp(words string) {
	fmt.Fprintln(os.Stderr, words)
	os.Exit(1)
}
