#!/bin/sh
# Make many videos in one call, wait for all, save each. Needs curl 7.76 or newer.
#
#   BASE_URL=https://kling.example.com API_KEY=klp_… sh batch.sh [folder]
set -eu

base=${BASE_URL:?"is the address of the platform"}
base=${base%/}
key=${API_KEY:?"is a key from your account page"}
folder=${1:-.}

# The value of a text field of the answer on stdin.
field() {
    sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}

give_up() {
    printf '%s\n' "$1" >&2
    exit 1
}

read_it() {
    # On 429 and 503 curl waits for as long as Retry-After says.
    curl -sS --fail-with-body --retry 5 "$base$1" -H "Authorization: Bearer $key"
}

# The Idempotency-Key makes it safe to send this again after a broken line: it is still made once.
answer=$(
    curl -sS --fail-with-body --retry 5 "$base/v1/batches" \
        -H "Authorization: Bearer $key" \
        -H "Content-Type: application/json" \
        -H "Idempotency-Key: batch-$(date +%s)-$$" \
        --data-binary @- <<EOT
{"name": "spring", "mode": "best_effort", "requests": [
  {"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "tags": ["spring"]},
  {"model": "kling-v2-5-turbo-std", "prompt": "Waves roll onto a pebble beach at dusk.", "size": "9:16"}]}
EOT
) || give_up "$answer"
id=$(printf '%s' "$answer" | field id)
echo "taken: $id"

while :; do
    answer=$(read_it "/v1/batches/$id") || give_up "$answer"
    case $(printf '%s' "$answer" | field status) in
        finished) break ;;
        paused) give_up "$answer" ;;
    esac
    sleep "${POLL_SECONDS:-5}"
done

# Each link carries its own signature. What failed has none, and cost nothing.
answer=$(read_it "/v1/video/generations?batch=$id&order=asc&limit=100") || give_up "$answer"
number=0
for url in $(printf '%s' "$answer" | grep -o '"url" *: *"[^"]*"' | field url); do
    number=$((number + 1))
    curl -sS --fail --retry 5 -o "$folder/$number.mp4" "$url"
    echo "saved: $folder/$number.mp4"
done
