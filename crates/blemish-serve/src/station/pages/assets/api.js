// Requests to our own server.
import { words } from "./dom.js";

const BASE = "/v1/station";

/** An error as the server tells it. */
export class Fault extends Error {
  constructor(message, { code = "", help = "", status = 0 } = {}) {
    super(message);
    Object.assign(this, { code, help, status });
  }
}

/** Sends a request; JSON in, JSON out. A path that begins with `/v1` is taken as it is. */
export async function ask(method, path, body) {
  const isForm = body instanceof FormData || body instanceof Blob;
  let answer;
  try {
    answer = await fetch(path.startsWith("/v1") ? path : BASE + path, {
      method,
      headers: body === undefined || isForm ? {} : { "Content-Type": "application/json" },
      body: body === undefined || isForm ? body : JSON.stringify(body),
    });
  } catch {
    throw new Fault(words.common.gone);
  }
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* Told below. */ }
  if (answer.ok) return json;
  if (answer.status === 401 && location.pathname !== "/login") logIn();
  throw new Fault(json?.error ?? words.common.trouble, { ...json, status: answer.status });
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);

/** Asks for a token, and comes back to this page. */
export const logIn = () => location.assign("/login" + query({ to: location.pathname + location.search }));

/** A query of what is given. */
export const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? "?" + new URLSearchParams(given) : "";
};

/** The page of an image. */
export const pageOf = (id) => `/image/${encodeURIComponent(id)}`;

/** Where parts of an image are. */
export const picture = (id, part) => `${BASE}/images/${encodeURIComponent(id)}/${part}`;
