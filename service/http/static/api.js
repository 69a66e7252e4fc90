// The JSON API of this server, as anybody could call it.

let key = sessionStorage.getItem("interleaf-key") || "";
let askForKey = async () => false;
const GONE = "The server cannot be reached. Is it still running?";

/** What to do when the server wants a key, or another one than it was sent: resolves to true when there is a new one. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/** Remembers a key for this tab. */
export function useKey(value) {
  key = value.trim();
  if (key) sessionStorage.setItem("interleaf-key", key);
  else sessionStorage.removeItem("interleaf-key");
}

/** A call that was refused. `reason` is ErrorInfo's. */
export class Refused extends Error {
  constructor(error, code) {
    super(error.message || `The server answered ${code}.`);
    this.code = code;
    this.status = error.status || "";
    this.reason = (error.details || []).find((detail) => detail.reason)?.reason || "";
  }
}

async function send(verb, path, { query = {}, body, file, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== undefined && value !== null && value !== false) url.searchParams.append(name, value);
  }
  const headers = {};
  const sent = key;
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method: verb, headers, signal, body: file ?? (body === undefined ? undefined : JSON.stringify(body)) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE);
  }
  if (response.status === 401 && (sent !== key || (await askForKey(Boolean(sent))))) return send(verb, path, { query, body, file, signal });
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Refused(told.error || {}, response.status);
  }
  return response;
}

const json = async (...call) => (await send(...call)).json();

export const get = (path, query, signal) => json("GET", path, { query, signal });
export const post = (path, body = {}, query = {}) => json("POST", path, { body, query });
export const patch = (path, body, query) => json("PATCH", path, { body, query });
export const remove = (path, query) => json("DELETE", path, { query });
export const upload = (path, file, query) => json("POST", path, { file, query });

/** The messages of a streamed call, as they come; `opened` is told when it is let in. */
export async function* stream(verb, path, { body, query, signal, opened = () => {} } = {}) {
  const response = await send(verb, path, { body, query, signal });
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Error(GONE);
    });
    if (done) return;
    waiting += value;
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const message = JSON.parse(event.slice("data: ".length));
      if (message.error) throw new Refused(message.error, message.error.code);
      yield message;
    }
  }
}

/** Saves what a path gives as a file. */
export async function save(path, query, name) {
  const blob = await (await send("GET", path, { query })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** All pages of a list. */
export async function all(path, field, query = {}) {
  const found = [];
  let token = "";
  do {
    const page = await get(path, { ...query, pageToken: token });
    found.push(...page[field]);
    token = page.nextPageToken;
  } while (token);
  return found;
}
