// The modules that exist only while the package is bundled: esbuild plugins in ts/build provide them.

/** The generated JavaScript of the wasm, as a factory. */
declare module "#glue" {
  /** A fresh, independent copy of the glue: it keeps its instance in variables, so a realm needs one copy per engine. */
  export function createGlue(env: import("./instance.js").GlueEnvironment): import("./instance.js").Glue;
}

/** The bundled worker (`worker.ts`) as text. */
declare module "#worker" {
  const text: string;
  export default text;
}

/** Where the wasm is: one of `shipped.files.ts` and `shipped.inline.ts`. */
declare module "#shipped" {
  export const shipped: import("./platform.js").Shipped;
}

/** The wasm files, compressed with gzip, in base64. */
declare module "#wasm/relaxed" {
  const text: string;
  export default text;
}
declare module "#wasm/simd" {
  const text: string;
  export default text;
}

/** Memory limits the wasm was linked with, in pages of 64 KiB. */
declare module "#memory-limits" {
  export const initial: number;
  export const maximum: number;
}
