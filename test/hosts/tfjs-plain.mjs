// As a page or a script imports it, with the backends it brings.
export * from "@tensorflow/tfjs";
