// Which platform this is.
import { nodePlatform } from "./platform.node.js";
import type { Platform } from "./platform.js";
import { webPlatform } from "./platform.web.js";

/** The platform this code runs on. Deno and Bun answer as Node. */
export function thisPlatform(): Platform {
  const getBuiltinModule = globalThis.process?.getBuiltinModule;
  return getBuiltinModule ? nodePlatform(getBuiltinModule) : webPlatform();
}
