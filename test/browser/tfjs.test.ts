// sparse-xent/tfjs in a page, with the cpu backend and with webgl where the browser has it.
import { describe } from "vitest";
import { batteryOf, type Any } from "../adapters/tfjs.ts";

const address = new URL("../hosts/node_modules/@tensorflow/tfjs/dist/tf.fesm.min.js", import.meta.url).href;
const answer = await fetch(address);
const isHere = /javascript/.test(answer.headers.get("content-type") ?? "");
const tf: Any = isHere ? await import(/* @vite-ignore */ address) : undefined;
const hasWebgl = isHere && (await tf.setBackend("webgl").catch(() => false)) === true && tf.env().getNumber("WEBGL_VERSION") > 0;

describe.skipIf(!isHere)(`@tensorflow/tfjs 4.22.0${isHere ? "" : ", whose npm package is not here"}`, () => {
  batteryOf("cpu", () => tf);
  describe.skipIf(!hasWebgl)(`webgl${hasWebgl ? "" : ", which this browser lacks"}`, () => batteryOf("webgl", () => tf));
});
