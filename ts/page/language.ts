// Imported before the chart library, which formats numbers in the browser's language as soon as it is loaded: WebKitGTK under the C locale says "C",
// which is no language, and the page would end there. Imports nothing.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
