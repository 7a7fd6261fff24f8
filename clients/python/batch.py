"""Make many videos in one call, wait for all, save each. Needs the package requests.

BASE_URL=https://kling.example.com API_KEY=klp_… python batch.py [folder]
"""

import os
import sys
import time
import uuid
from pathlib import Path

import requests

URL = os.environ["BASE_URL"].rstrip("/") + "/v1"
KEY = {"Authorization": "Bearer " + os.environ["API_KEY"]}
PAUSE = float(os.environ.get("POLL_SECONDS", "5"))
REQUESTS = [
    {"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "tags": ["spring"]},
    {"model": "kling-v2-5-turbo-std", "prompt": "Waves roll onto a pebble beach at dusk.", "size": "9:16"},
]


def call(method: str, path: str, **options) -> dict:
    """The answer as a dict, or the end of the program with the words of the refusal."""
    headers = {**KEY, **options.pop("headers", {})}
    while True:
        response = requests.request(method, URL + path, headers=headers, timeout=60, **options)
        if response.ok:
            return response.json()
        if response.status_code not in (429, 503):  # those two: in a moment again
            sys.exit(f"{response.status_code}: {response.text}")
        time.sleep(float(response.headers.get("Retry-After", PAUSE)))


def create() -> str:
    """Ask for all of them and return the id of the batch.

    The Idempotency-Key makes it safe to send this again after a broken line: it is still made once.
    """
    wanted = {"name": "spring", "mode": "best_effort", "requests": REQUESTS}
    batch = call("POST", "/batches", json=wanted, headers={"Idempotency-Key": str(uuid.uuid4())})
    for error in batch["errors"]:
        print(f"not made: number {error['line']}: {error['message']}", file=sys.stderr)
    return batch["id"]


def wait_for(batch_id: str) -> None:
    """Read the batch until nothing of it is in the making."""
    while (batch := call("GET", f"/batches/{batch_id}"))["status"] != "finished":
        if batch["status"] == "paused":
            sys.exit("The batch has paused itself: too many have failed.")
        time.sleep(PAUSE)


def save(batch_id: str, folder: Path) -> None:
    """Fetch what was made. Each link carries its own signature: no key is needed."""
    found = call("GET", "/video/generations", params={"batch": batch_id, "order": "asc", "limit": 100})
    for video in found["data"]:
        if video["status"] == "failed":
            print(f"failed: number {video['batch_line']}: {video['error']['message']}", file=sys.stderr)
            continue
        file = folder / f"{video['batch_line']}.mp4"
        with requests.get(video["url"], stream=True, timeout=60) as response, file.open("wb") as out:
            response.raise_for_status()
            for part in response.iter_content(1 << 16):
                out.write(part)
        print("saved:", file)


if __name__ == "__main__":
    made = create()
    print("taken:", made)
    wait_for(made)
    save(made, Path(sys.argv[1] if len(sys.argv) > 1 else "."))
