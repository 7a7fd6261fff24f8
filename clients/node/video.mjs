// Make a video, wait for it, save it. Needs Node 18 or newer, and no package.
//
//   BASE_URL=https://kling.example.com API_KEY=klp_… node video.mjs [video.mp4]
//
// With IMAGE=first.jpg the picture is set in motion.
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const { BASE_URL, API_KEY, IMAGE, POLL_SECONDS = "3" } = process.env;
if (!BASE_URL || !API_KEY) giveUp("Set BASE_URL, the address of the platform, and API_KEY, a key from your account page.");
const url = `${BASE_URL.replace(/\/$/, "")}/v1/video/generations`;
const key = { Authorization: `Bearer ${API_KEY}` };

function giveUp(words) {
  console.error(words);
  process.exit(1);
}

// The answer as an object, or the end of the program with the words of the refusal.
async function answerOf(response) {
  if (!response.ok) giveUp(`${response.status}: ${await response.text()}`);
  return response.json();
}

// Never sent again by itself: it costs credits.
async function create() {
  const request = { model: "kling-v2-6", prompt: "一只小狐狸在雪地里追逐落叶", duration: 5, size: "16:9" };
  if (IMAGE) request.images = [await readFile(IMAGE, "base64")];
  const headers = { ...key, "Content-Type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(request) });
  return (await answerOf(response)).id;
}

async function waitFor(id) {
  for (;;) {
    const response = await fetch(`${url}/${id}`, { headers: key });
    if (response.status === 429 || response.status === 503) { // in a moment again
      await sleep(1000 * Number(response.headers.get("Retry-After") ?? POLL_SECONDS));
      continue;
    }
    const video = await answerOf(response);
    if (video.status === "succeeded") return video;
    if (video.status === "failed") giveUp(`${video.error.code}: ${video.error.message}`);
    await sleep(1000 * Number(POLL_SECONDS));
  }
}

// The link carries its own signature: no key is needed, and a player can open it too.
async function save(link, file) {
  const response = await fetch(link);
  if (!response.ok) giveUp(`${response.status}: ${await response.text()}`);
  await writeFile(file, response.body);
}

const file = process.argv[2] ?? "video.mp4";
const id = await create();
console.log("taken:", id);
await save((await waitFor(id)).url, file);
console.log("saved:", file);
