import puppeteer from "puppeteer-core";
import { serve, isolation } from "./ts/build/page.mjs";
const server = await serve("/tmp/pg/iso3", { port: 0, headers: isolation });
const b = await puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, extraPrefsFirefox: { "security.sandbox.content.level": 0, "dom.ipc.forkserver.enable": false } });
const page = await b.newPage();
await page.goto(`http://localhost:${server.address().port}/`);
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
let last = "", at = Date.now(); const start = Date.now();
while (Date.now() - start < 40000) {
  const t = await page.evaluate("document.title");
  if (t !== last) { last = t; at = Date.now(); }
  if (Date.now() - at > 15000 || t.startsWith("ERR")) { console.log("STUCK", last); break; }
  await sleep(200);
}
console.log("at", last, (Date.now() - start) / 1000);
await b.close(); process.exit(0);
