/// <reference lib="esnext.disposable" preserve="true" />
// The two symbols of `using` and `await using`. Engines without them get the registered symbols that bundlers' lowered code looks up.

/** `Symbol.dispose`. */
export const disposeSymbol: typeof Symbol.dispose = Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);

/** `Symbol.asyncDispose`. */
export const asyncDisposeSymbol: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);

/** What Node, and who does as Node does, calls to print an object. */
export const inspectSymbol: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;
