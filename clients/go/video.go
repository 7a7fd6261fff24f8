// Make a video, wait for it, save it. Needs Go 1.18 or newer, and no module.
//
//	BASE_URL=https://kling.example.com API_KEY=klp_… go run video.go [video.mp4]
//
// With IMAGE=first.jpg the picture is set in motion.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type request struct {
	Model    string   `json:"model"`
	Prompt   string   `json:"prompt"`
	Duration int      `json:"duration"`
	Size     string   `json:"size"`
	Images   []string `json:"images,omitempty"`
}

type video struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	URL    string `json:"url"`
	Error  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

var client = &http.Client{Timeout: 10 * time.Minute}

func main() {
	url := strings.TrimSuffix(need("BASE_URL"), "/") + "/v1/video/generations"
	file := "video.mp4"
	if len(os.Args) > 1 {
		file = os.Args[1]
	}
	id := create(url)
	fmt.Println("taken:", id)
	save(wait(url+"/"+id), file)
	fmt.Println("saved:", file)
}

// create asks for a video and returns its id. It is never sent again by itself: it costs credits.
func create(url string) string {
	wanted := request{Model: "kling-v2-6", Prompt: "一只小狐狸在雪地里追逐落叶", Duration: 5, Size: "16:9"}
	if name := os.Getenv("IMAGE"); name != "" {
		picture, err := os.ReadFile(name)
		check(err)
		wanted.Images = []string{base64.StdEncoding.EncodeToString(picture)}
	}
	body, err := json.Marshal(wanted)
	check(err)
	return read(send("POST", url, bytes.NewReader(body))).ID
}

// wait reads the video until it is there, and returns its link.
func wait(url string) string {
	for {
		response := send("GET", url, nil)
		if response.StatusCode == 429 || response.StatusCode == 503 { // in a moment again
			response.Body.Close()
			time.Sleep(seconds(response.Header.Get("Retry-After")))
			continue
		}
		made := read(response)
		switch made.Status {
		case "succeeded":
			return made.URL
		case "failed":
			giveUp(made.Error.Code + ": " + made.Error.Message)
		}
		time.Sleep(seconds(os.Getenv("POLL_SECONDS")))
	}
}

// save fetches the file. The link carries its own signature: no key is needed, and a player can open it too.
func save(link, name string) {
	response, err := client.Get(link)
	check(err)
	defer response.Body.Close()
	if response.StatusCode != 200 {
		giveUp("the file: " + response.Status)
	}
	file, err := os.Create(name)
	check(err)
	_, err = io.Copy(file, response.Body)
	check(err)
	check(file.Close())
}

func send(method, url string, body io.Reader) *http.Response {
	wanted, err := http.NewRequest(method, url, body)
	check(err)
	wanted.Header.Set("Authorization", "Bearer "+need("API_KEY"))
	if body != nil {
		wanted.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(wanted)
	check(err)
	return response
}

// read gives the answer, or ends the program with the words of the refusal.
func read(response *http.Response) (made video) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != 200 {
		giveUp(strconv.Itoa(response.StatusCode) + ": " + string(body))
	}
	check(json.Unmarshal(body, &made))
	return made
}

// seconds reads a wait; without one it is three.
func seconds(text string) time.Duration {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		number = 3
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
