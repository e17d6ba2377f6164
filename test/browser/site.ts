// A web server whose every page is served as one table row says: its headers, and what its files answer. Runs in Node.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

/** What a file answers in place of itself, or beside it. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** How one page is served. */
export interface Place {
  /** Headers of all its files. */
  readonly headers: Readonly<Record<string, string>>;
  /** Files that answer otherwise, by name. */
  readonly files?: Readonly<Record<string, Answer>>;
  /** Where its files are; when left out, the page of this folder over the built package. */
  readonly folder?: string;
}

/** The headers of an isolated page. */
export const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const types: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  css: "text/css",
  wasm: "application/wasm",
  gz: "application/gzip",
};
const here = fileURLToPath(new URL(".", import.meta.url));
const dist = fileURLToPath(new URL("../../dist/", import.meta.url));

/** A running site; a page of it reports once. */
export class Site {
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #places = new Map<string, Place>();
  readonly #reports = new Map<string, (report: unknown) => void>();

  static async start(): Promise<Site> {
    const site = new Site();
    site.#server.listen(0, "127.0.0.1");
    await once(site.#server, "listening");
    return site;
  }

  /** `localhost`, which browsers trust as they trust https. */
  get origin(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Serves a page; `report` resolves to what it posts. */
  serve(name: string, place: Place): { url: string; report: Promise<unknown> } {
    this.#places.set(name, place);
    const report = new Promise((resolve) => void this.#reports.set(name, resolve));
    return { url: `${this.origin}/${name}/page.html`, report };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const [, name = "", ...path] = new URL(request.url ?? "", "http://localhost").pathname.split("/");
    const file = path.join("/");
    const place = this.#places.get(name);
    if (place === undefined) return void response.writeHead(404).end();
    if (request.method === "POST") {
      let text = "";
      request.setEncoding("utf8").on("data", (part: string) => void (text += part));
      request.on("end", () => {
        response.writeHead(204).end();
        this.#reports.get(name)?.(JSON.parse(text));
      });
      return;
    }
    const { status = 200, headers = {}, body } = place.files?.[file] ?? {};
    const all: Record<string, string> = { "Content-Type": types[file.split(".").at(-1) ?? ""] ?? "text/plain", ...place.headers, ...headers };
    // An empty value takes a header away.
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
    try {
      const content = body ?? readFileSync(`${place.folder ?? (file.startsWith("page.") ? here : dist)}${file}`);
      response.writeHead(status, sent).end(content);
    } catch {
      response.writeHead(404, sent).end("no such file");
    }
  }
}
