// `npm run page`: brings dist/ up to date, builds the live page of ts/page into target/page and serves it with the two headers that isolate a page.
// The page is a program that uses the package, with packages of its own; nothing of it ships.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { forget, isFresh, keyOf, remember } from "../build/fresh.mjs";
import { installApart, installPackages } from "../build/packages.mjs";
import { paths, root } from "../build/project.mjs";
import { StepFailed, say, step } from "../build/report.mjs";
import { setUp } from "../build/set-up.mjs";

const source = `${root}/ts/page`;
/** The built page: a folder without folders. */
export const out = `${paths.target}/page`;

/** What makes a page cross-origin isolated: memory that threads share, and so all threads. */
export const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** The same for hosts that read a file of headers beside the page. */
const headersFile = `/*\n${Object.entries(isolation).map(([name, value]) => `  ${name}: ${value}\n`).join("")}`;

const library = ["sparse-xent.simd.wasm", "sparse-xent.relaxed.wasm"].map((name) => `${paths.dist}/${name}`);
const tfjs = ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"]
  .map((name) => `${source}/node_modules/@tensorflow/tfjs-backend-wasm/dist/${name}`);
const data = ["digits.csv.gz", "novels.txt.gz"].map((name) => `${source}/data/${name}`);

/** @param {string} path */
const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);

async function bundle() {
  // esbuild is there once the project's packages are.
  const { build } = await import("esbuild");
  const worker = (/** @type {string} */ name) => ({ in: `${source}/${name}/worker.ts`, out: `${name}.worker` });
  await build({
    entryPoints: [{ in: `${source}/main.ts`, out: "main" }, worker("surprise"), worker("speed")],
    outdir: out,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "linked",
    logLevel: "warning",
    // The built files themselves, as an application would import them; the two wasm files lie beside the bundle.
    alias: { "sparse-xent": `${paths.dist}/index.js`, "sparse-xent/tfjs": `${paths.dist}/tfjs.js` },
  });
  for (const file of [`${source}/index.html`, `${root}/README.md`, ...data, ...library, ...tfjs]) cpSync(file, `${out}/${nameOf(file)}`);
  writeFileSync(`${out}/_headers`, headersFile);
}

/** The packages of the page, which the tests can do without. */
export const installPage = () => installApart("page packages", source);

/** Builds the page into target/page, from what is in dist/ and the page's packages. */
export async function buildPage() {
  const benches = ["bench/speed", "bench/accuracy"];
  const key = keyOf(["ts/page", "README.md", ...benches, "dist/index.js", "dist/tfjs.js", ...library.map((path) => path.slice(root.length + 1))]);
  if (isFresh("page", key, [`${out}/index.html`, `${out}/main.js`, `${out}/README.md`])) return;
  forget("page");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await step("page", bundle, () => out.slice(root.length + 1));
  remember("page", key);
}

/** @type {Readonly<Record<string, string>>} */
const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
  ".gz": "application/gzip",
  // As text, which a browser shows.
  ".md": "text/plain; charset=utf-8",
};

/**
 * Serves a folder on this machine only.
 * @param {string} folder @param {{ port: number, headers: Readonly<Record<string, string>> }} how port 0 is any that is free
 * @returns {Promise<import("node:http").Server>}
 */
export function serve(folder, { port, headers }) {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const name = path === "/" ? "index.html" : path.slice(1);
    // The folder is flat: a name with a slash in it, encoded or not, is no file of it.
    if (!/^[\w.-]+$/.test(name) || types[extname(name)] === undefined) return void response.writeHead(404, headers).end("no such file");
    try {
      const content = readFileSync(`${folder}/${name}`);
      response.writeHead(200, { "Content-Type": types[extname(name)], "Cache-Control": "no-cache", ...headers }).end(content);
    } catch {
      response.writeHead(404, headers).end("no such file");
    }
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "localhost", () => resolve(server));
  });
}

const usage = `usage: npm run page -- [options]
  --plain      without the two headers: the page as it is where they are missing, on one thread
  --port N     where to serve it (default 4180)
  --build      only build it, into target/page: a folder that any web server can serve`;

/** @param {readonly string[]} args @returns {Promise<number>} the exit code */
export async function page(args) {
  const { values } = readOptions(args);
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new StepFailed(`--port got ${values.port}, expected 0..65535\n${usage}`);
  await setUp();
  await installPackages(source);
  await buildPage();
  if (values.build) {
    process.stdout.write(`${out}\n`);
    return 0;
  }
  const server = await serve(out, { port, headers: values.plain ? {} : isolation }).catch((/** @type {NodeJS.ErrnoException} */ error) => {
    throw error.code === "EADDRINUSE" ? new StepFailed(`port ${port} is in use: pass another one as --port`) : error;
  });
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  process.stdout.write(`http://localhost:${address.port}/  (${values.plain ? "not isolated" : "isolated"}; Ctrl-C ends it)\n`);
  await new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve);
  });
  server.closeAllConnections();
  server.close();
  return 0;
}

/** @param {readonly string[]} args */
function readOptions(args) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        plain: { type: "boolean", default: false },
        build: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        port: { type: "string", default: "4180" },
      },
    });
  } catch (error) {
    throw new StepFailed(`${error instanceof Error ? error.message : error}\n${usage}`);
  }
}
