#!/bin/sh
# Make a video, wait for it, save it. Needs curl 7.76 or newer.
#
#   BASE_URL=https://kling.example.com API_KEY=klp_… sh video.sh [video.mp4]
#
# With IMAGE=first.jpg the picture is set in motion.
set -eu

base=${BASE_URL:?"is the address of the platform"}
base=${base%/}
key=${API_KEY:?"is a key from your account page"}
file=${1:-video.mp4}

images=
if [ -n "${IMAGE:-}" ]; then
    images=", \"images\": [\"$(base64 <"$IMAGE" | tr -d '\n')\"]"
fi

# The value of a text field of the answer on stdin.
field() {
    sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}

give_up() {
    printf '%s\n' "$1" >&2
    exit 1
}

answer=$(
    curl -sS --fail-with-body "$base/v1/video/generations" \
        -H "Authorization: Bearer $key" \
        -H "Content-Type: application/json" \
        --data-binary @- <<EOT
{"model": "kling-v2-6", "prompt": "一只小狐狸在雪地里追逐落叶", "duration": 5, "size": "16:9"$images}
EOT
) || give_up "$answer"
id=$(printf '%s' "$answer" | field id)
echo "taken: $id"

while :; do
    # On 429 and 503 curl waits for as long as Retry-After says.
    answer=$(
        curl -sS --fail-with-body --retry 5 "$base/v1/video/generations/$id" -H "Authorization: Bearer $key"
    ) || give_up "$answer"
    status=$(printf '%s' "$answer" | field status)
    case $status in
        succeeded) break ;;
        failed) give_up "$answer" ;;
    esac
    sleep "${POLL_SECONDS:-3}"
done

# The link carries its own signature: no key is needed, and a player can open it too.
curl -sS --fail --retry 5 -o "$file" "$(printf '%s' "$answer" | field url)"
echo "saved: $file"
