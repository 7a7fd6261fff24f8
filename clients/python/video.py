"""Make a video, wait for it, save it. Needs the package requests.

    BASE_URL=https://kling.example.com API_KEY=klp_… python video.py [video.mp4]

With IMAGE=first.jpg the picture is set in motion.
"""

import base64
import os
import sys
import time
from pathlib import Path

import requests

URL = os.environ["BASE_URL"].rstrip("/") + "/v1/video/generations"
KEY = {"Authorization": "Bearer " + os.environ["API_KEY"]}
PAUSE = float(os.environ.get("POLL_SECONDS", "3"))


def answer_of(response: requests.Response) -> dict:
    """The answer as a dict, or the end of the program with the words of the refusal."""
    if response.ok:
        return response.json()
    sys.exit(f"{response.status_code}: {response.text}")


def create() -> str:
    """Ask for a video and return its id. Never sent again by itself: it costs credits."""
    request = {"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "duration": 5, "size": "16:9"}
    if image := os.environ.get("IMAGE"):
        request["images"] = [base64.b64encode(Path(image).read_bytes()).decode()]
    headers = {**KEY, "Content-Type": "application/json"}
    return answer_of(requests.post(URL, json=request, headers=headers, timeout=60))["id"]


def wait_for(video_id: str) -> dict:
    """Read the video until it is there."""
    while True:
        response = requests.get(f"{URL}/{video_id}", headers=KEY, timeout=60)
        if response.status_code in (429, 503):  # in a moment again
            time.sleep(float(response.headers.get("Retry-After", PAUSE)))
            continue
        video = answer_of(response)
        if video["status"] == "succeeded":
            return video
        if video["status"] == "failed":
            sys.exit(f"{video['error']['code']}: {video['error']['message']}")
        time.sleep(PAUSE)


def save(url: str, file: Path) -> None:
    """Fetch the file. The link carries its own signature: no key is needed, and a player can open it too."""
    with requests.get(url, stream=True, timeout=60) as response:
        if not response.ok:
            sys.exit(f"{response.status_code}: {response.text}")
        with file.open("wb") as out:
            for part in response.iter_content(1 << 16):
                out.write(part)


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "video.mp4")
    made = create()
    print("taken:", made)
    save(wait_for(made)["url"], file)
    print("saved:", file)
