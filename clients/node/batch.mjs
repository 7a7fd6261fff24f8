// Make many videos in one call, wait for all, save each. Needs Node 18 or newer, and no package.
//
//   BASE_URL=https://kling.example.com API_KEY=klp_… node batch.mjs [folder]
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { BASE_URL, API_KEY, POLL_SECONDS = "5" } = process.env;
if (!BASE_URL || !API_KEY) giveUp("Set BASE_URL, the address of the platform, and API_KEY, a key from your account page.");
const url = `${BASE_URL.replace(/\/$/, "")}/v1`;
const requests = [
  { model: "kling-v2-6", prompt: "一只小狐狸在雪地里追逐落叶", tags: ["spring"] },
  { model: "kling-v2-5-turbo-std", prompt: "Waves roll onto a pebble beach at dusk.", size: "9:16" },
];

function giveUp(words) {
  console.error(words);
  process.exit(1);
}

// The answer as an object, or the end of the program with the words of the refusal.
async function call(path, { headers, ...options } = {}) {
  for (;;) {
    const response = await fetch(url + path, { headers: { Authorization: `Bearer ${API_KEY}`, ...headers }, ...options });
    if (response.ok) return response.json();
    if (response.status !== 429 && response.status !== 503) giveUp(`${response.status}: ${await response.text()}`);
    await sleep(1000 * Number(response.headers.get("Retry-After") ?? POLL_SECONDS)); // in a moment again
  }
}

// The Idempotency-Key makes it safe to send this again after a broken line: it is still made once.
async function create() {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": randomUUID() };
  const body = JSON.stringify({ name: "spring", mode: "best_effort", requests });
  const batch = await call("/batches", { method: "POST", headers, body });
  for (const error of batch.errors) console.error(`not made: number ${error.line}: ${error.message}`);
  return batch.id;
}

async function waitFor(id) {
  for (;;) {
    const { status } = await call(`/batches/${id}`);
    if (status === "finished") return;
    if (status === "paused") giveUp("The batch has paused itself: too many have failed.");
    await sleep(1000 * Number(POLL_SECONDS));
  }
}

// Each link carries its own signature: no key is needed.
async function save(id, folder) {
  const { data } = await call(`/video/generations?batch=${id}&order=asc&limit=100`);
  for (const video of data) {
    if (video.status === "failed") {
      console.error(`failed: number ${video.batch_line}: ${video.error.message}`);
      continue;
    }
    const response = await fetch(video.url);
    if (!response.ok) giveUp(`${response.status}: ${await response.text()}`);
    const file = join(folder, `${video.batch_line}.mp4`);
    await writeFile(file, response.body);
    console.log("saved:", file);
  }
}

const id = await create();
console.log("taken:", id);
await waitFor(id);
await save(id, process.argv[2] ?? ".");
