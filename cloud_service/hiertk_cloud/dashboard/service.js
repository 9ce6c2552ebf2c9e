// Asking the service: the token, requests, and the stream of frames, which comes back by itself.

const TOKEN = "hiertk-token";
const SILENCE_MS = 10_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

export class Refused extends Error {}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

async function request(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (response.status === 401) throw new Refused(path);
  if (!response.ok) throw new Error(await reasonOf(response));
  return response;
}

async function reasonOf(response) {
  try {
    return (await response.json()).detail ?? `status ${response.status}`;
  } catch {
    return `status ${response.status}`;
  }
}

export async function get(path) {
  return (await request(path)).json();
}

export async function post(path) {
  return (await request(path, { method: "POST" })).json();
}

/**
 * Watch until the token is refused: onOpen before each stream's first frame, onFrame for each,
 * onLost with a reason whenever the stream has ended. A hidden page lets go of its place.
 */
export async function watch({ onOpen, onFrame, onLost }) {
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    await becomingVisible();
    let reason = "it does not answer";
    try {
      await readStream(onOpen, (frame) => {
        pause = FIRST_PAUSE_MS;
        onFrame(frame);
      });
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (error instanceof Error && error.name === "Error") reason = error.message;
    }
    if (document.hidden) continue;
    onLost(reason);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

function becomingVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true });
  });
}

async function readStream(onOpen, onFrame) {
  const ending = new AbortController();
  const end = () => ending.abort();
  const endIfHidden = () => document.hidden && end();
  let silence = setTimeout(end, SILENCE_MS);
  document.addEventListener("visibilitychange", endIfHidden);
  try {
    const response = await request("api/events", { signal: ending.signal });
    await onOpen();
    for await (const frame of framesOf(response.body)) {
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE_MS);
      onFrame(frame);
    }
  } finally {
    clearTimeout(silence);
    document.removeEventListener("visibilitychange", endIfHidden);
    ending.abort();
  }
}

/** Server-sent events, read by hand: EventSource cannot send the token. */
async function* framesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}
