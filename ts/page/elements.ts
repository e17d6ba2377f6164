// The page's elements and how figures are written. Imports nothing.

/** The element with this id, which index.html has. */
export function element<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} with the id ${id}`);
  return found;
}

/** A slider whose value is written beside it; `changed` hears of every change. */
export function slider(id: string, write: (value: number) => string, changed: (value: number) => void = () => {}): { readonly value: number; set(value: number): void } {
  const input = element(id, HTMLInputElement);
  const output = element(`${id}-value`, HTMLOutputElement);
  const show = (): void => {
    output.value = write(input.valueAsNumber);
  };
  input.addEventListener("input", () => {
    show();
    changed(input.valueAsNumber);
  });
  show();
  return {
    get value() {
      return input.valueAsNumber;
    },
    set(value) {
      input.valueAsNumber = value;
      show();
    },
  };
}

/** An element made, with its text. */
export function made<K extends keyof HTMLElementTagNameMap>(tag: K, text = "", properties: Partial<HTMLElementTagNameMap[K]> = {}): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

export const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;
export const count = (value: number): string => value.toLocaleString("en");

/** A colour that style.css names, as it is in the scheme of this moment. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Calls back when the reader's colour scheme changes. */
export const onScheme = (changed: () => void): void => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);

/** Says what went wrong at the top of the page, where a screen reader hears it. */
export function fail(what: string, error: unknown): void {
  const failure = element("failure", HTMLElement);
  failure.textContent = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  failure.hidden = false;
}
