// The parts of a run, in their order. A new part is a line here.
import * as adversarial from "./adversarial.mjs";
import * as batch from "./batch.mjs";
import * as dtypes from "./dtypes.mjs";
import * as kernels from "./kernels.mjs";
import * as options from "./options.mjs";

export const parts = { kernels, batch, dtypes, options, adversarial };
