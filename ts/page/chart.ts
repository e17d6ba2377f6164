// A chart of lines over steps, in the page's colours, as large as its place; its caption has the values at the pointer, or the latest. Drawn by uPlot:
// made for series that grow while one looks, and small. May import elements.
import uPlot from "uplot";
import { colour, made, onScheme } from "./elements.ts";

export interface Line {
  readonly label: string;
  /** A colour of style.css. */
  readonly colour: string;
}

export interface Scale {
  /** From and to; from 0 to the largest value when left out. */
  readonly range?: [number, number];
  readonly write: (value: number) => string;
}

/** A chart whose data is replaced as a whole: the steps, and a value of each line at each. */
export interface Chart {
  show(data: readonly (readonly number[])[]): void;
}

export function chart(place: HTMLElement, title: string, lines: readonly Line[], { range, write }: Scale): Chart {
  let data = [[], ...lines.map(() => [])] as unknown as uPlot.AlignedData;
  const caption = made("p", "", { className: "caption" });
  const canvas = made("div", "", { className: "canvas" });
  const values = lines.map((line) => {
    const value = made("output");
    const swatch = made("i", "", { className: "swatch" });
    swatch.style.background = `var(--${line.colour})`;
    const entry = made("span");
    entry.append(swatch, `${line.label} `, value);
    return { entry, value };
  });
  caption.append(made("b", title), ...values.map(({ entry }) => entry));
  place.append(caption, canvas);

  const size = (): { width: number; height: number } => ({ width: Math.max(140, canvas.clientWidth), height: Math.max(80, canvas.clientHeight) });
  const describe = (index: number | null | undefined): void => {
    for (const [i, { value }] of values.entries()) {
      const shown = data[i + 1]?.[index ?? (data[0]?.length ?? 0) - 1];
      value.value = typeof shown === "number" ? write(shown) : "";
    }
  };
  const make = (): uPlot => {
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return new uPlot(
      {
        ...size(),
        padding: [6, 12, 0, 0],
        cursor: { y: false, drag: { x: false, y: false } },
        legend: { show: false },
        scales: { x: { time: false }, y: { range: range ?? ((_, __, max) => [0, Math.max(0.1, max) * 1.05]) } },
        axes: [
          { ...axis, size: 20, space: 50 },
          { ...axis, size: 44, space: 24, values: (_, ticks) => ticks.map(write) },
        ],
        series: [{}, ...lines.map((line) => ({ stroke: colour(line.colour), width: 2, points: { show: false } }))],
        hooks: { setCursor: [({ cursor }) => describe(cursor.idx)] },
      },
      data,
      canvas,
    );
  };
  let plot = make();
  new ResizeObserver(() => plot.setSize(size())).observe(canvas);
  onScheme(() => {
    plot.destroy();
    plot = make();
  });
  return {
    show(columns) {
      data = columns as unknown as uPlot.AlignedData;
      plot.setData(data);
      describe(plot.cursor.idx);
    },
  };
}
