// The service worker of page.js.
import { load } from "./index.js";
import { use } from "./page.use.js";

addEventListener("message", (event) => {
  const answered = use(load, event.data)
    .catch((error) => ({ error: { name: error.name, code: error.code, message: error.message } }))
    .then((outcome) => event.source.postMessage(outcome));
  event.waitUntil(answered);
});
