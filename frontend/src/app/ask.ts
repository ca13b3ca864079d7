/** Requests to the server, or in a static copy to the files of the page. */
import { useCallback, useEffect, useState } from "react";

/** Whether this is a static copy, in which nothing can be computed. */
export const STATIC = document.querySelector('meta[name="deeptroubles"]')?.getAttribute("content") === "static";

/** Where the server is, without a slash at the end. */
export const ROOT = STATIC ? "" : new URL(document.baseURI).pathname.replace(/\/$/, "");

type Query = Record<string, string | number | boolean | null | undefined>;

/** An address below /api, with its query in a fixed order, so that a static copy finds it. */
export function address(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  given.sort(([a], [b]) => (a < b ? -1 : 1));
  const text = given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&");
  return text ? `${path}?${text}` : path;
}

/** The name under which a static copy keeps an answer: letters, digits, dots and dashes stay; the rest is `_` and hex. */
export function fileName(path: string): string {
  const bytes = new TextEncoder().encode(path);
  return Array.from(bytes, (byte) => {
    const letter = String.fromCharCode(byte);
    return /[A-Za-z0-9.-]/.test(letter) ? letter : `_${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}

/** The address of a picture or another file that the server gives at `path`. */
export function fileUrl(path: string): string {
  return STATIC ? `files/${fileName(path)}` : `${ROOT}/api${path}`;
}


/** Ask for an address below /api. */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  return STATIC ? ((await fromFile(path)) as T) : send<T>("GET", path, undefined, signal);
}

/** Send something to the server, or have it compute. `body` is JSON, or a file as it is. */
export async function tell<T>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  if (STATIC) throw new Error("This is a static copy of the page; nothing can be computed in it.");
  return send<T>(method, path, body, signal);
}

async function send<T>(method: string, path: string, body: unknown, signal: AbortSignal | undefined): Promise<T> {
  const request: RequestInit = { method };
  if (signal) request.signal = signal;
  if (body instanceof Blob) {
    request.body = body;
    request.headers = { "content-type": body.type || "application/octet-stream" };
  } else if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { "content-type": "application/json" };
  }
  const answer = await fetch(`${ROOT}/api${path}`, request);
  if (!answer.ok) throw new Error(await reason(answer));
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

async function reason(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    const { detail } = JSON.parse(text) as { detail: unknown };
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return text || answer.statusText;
  }
}

declare global {
  interface Window {
    /** Called by the files of a static copy. */
    deeptroublesAnswer?: (name: string, value: unknown) => void;
  }
}

const waiting = new Map<string, (value: unknown) => void>();
window.deeptroublesAnswer = (name, value) => waiting.get(name)?.(value);

/** A file of a static copy is a script that hands over its value: pages on disk may load scripts, but no data. */
function fromFile(path: string): Promise<unknown> {
  const name = fileName(path);
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const end = () => (waiting.delete(name), script.remove());
    waiting.set(name, (value) => (end(), resolve(value)));
    script.onerror = () => (end(), reject(new Error("This was not exported into this copy.")));
    script.src = `data/${name}.js`;
    document.head.append(script);
  });
}

interface Asked<T> {
  value: T | undefined;
  error: string;
  again: () => void;
}

/** The server's answer at an address. When the address changes, the old answer stays until the new one comes. `null` asks nothing. */
export function useAsk<T>(path: string | null): Asked<T> {
  const [answer, setAnswer] = useState<{ value: T | undefined; error: string }>({ value: undefined, error: "" });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const control = new AbortController();
    ask<T>(path, control.signal).then(
      (value) => control.signal.aborted || setAnswer({ value, error: "" }),
      (error: Error) => control.signal.aborted || setAnswer({ value: undefined, error: error.message }),
    );
    return () => control.abort();
  }, [path, round]);
  return { ...answer, again: useCallback(() => setRound((n) => n + 1), []) };
}
