// The parts of a run, in their order. A new part is a line here.
import * as adversarial from "./adversarial.mjs";
import * as batch from "./batch.mjs";
import * as classes from "./classes.mjs";
import * as copies from "./copies.mjs";
import * as dtypes from "./dtypes.mjs";
import * as growth from "./growth.mjs";
import * as kernels from "./kernels.mjs";
import * as linear from "./linear.mjs";
import * as loading from "./loading.mjs";
import * as memory from "./memory.mjs";
import * as native from "./native.mjs";
import * as options from "./options.mjs";
import * as overhead from "./overhead.mjs";
import * as planes from "./planes.mjs";
import * as threads from "./threads.mjs";

export const parts = { kernels, classes, planes, batch, copies, dtypes, options, adversarial, overhead, loading, memory, threads, growth, linear, native };
