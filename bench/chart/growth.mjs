// Draws bench/record/growth.svg: time per logit by the number of classes, from a record of speed. Imports echarts, which renders without a browser.
import * as echarts from "echarts";

/** What is drawn, in the order of the legend. @param {Pick<import("../speed/record.mjs").Baseline, "key" | "name">} baseline */
const linesOf = ({ key, name }) => [
  { what: "plain loop", name: "JavaScript loop", color: "#9e9e9e", dash: "dotted" },
  { what: `${key} loss+grad`, name: `${name} kernel`, color: "#d98032", dash: "dashed" },
  { what: "loss+grad", name: "loss and gradient", color: "#3578c2", dash: "solid" },
  { what: "in place", name: "in place", color: "#58a36c", dash: "solid" },
  { what: "loss", name: "loss alone", color: "#9467bd", dash: "solid" },
];

// Legible on a light page and on a dark one.
const ink = "#808080";
const grid = "rgba(128, 128, 128, 0.25)";

/**
 * @param {readonly { what: string, build?: string, classes?: number, nsPerLogit?: number }[]} growth
 * @param {string} about one line under the picture
 * @param {import("../speed/record.mjs").Baseline} baseline that the record is beside
 * @returns {string} SVG
 */
export function growthPicture(growth, about, baseline) {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 860, height: 460 });
  const axis = { axisLine: { lineStyle: { color: ink } }, axisLabel: { color: ink }, nameTextStyle: { color: ink }, splitLine: { lineStyle: { color: grid } } };
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "sans-serif" },
    grid: { left: 64, right: 24, top: 64, bottom: 76 },
    // Wide gaps: without a browser the width of a text is an estimate.
    legend: { top: 8, textStyle: { color: ink }, itemWidth: 36, itemGap: 28 },
    title: { text: about, left: "center", bottom: 4, textStyle: { color: ink, fontSize: 11, fontWeight: "normal" } },
    // The axis is of the logarithm itself: a logarithmic axis would have three labels here.
    xAxis: {
      type: "value", min: 1, max: 18, interval: 1, name: "classes", nameLocation: "middle", nameGap: 28, ...axis,
      axisLabel: { color: ink, fontSize: 10, formatter: (/** @type {number} */ power) => String(2 ** power) },
    },
    yAxis: { type: "log", name: "ns per logit", ...axis },
    series: linesOf(baseline).map(({ what, name, color, dash }) => ({
      type: "line",
      name,
      data: growth.filter((each) => each.what === what && each.build !== "simd" && each.classes !== undefined && each.nsPerLogit !== undefined).map((each) => [Math.log2(each.classes ?? 1), each.nsPerLogit]),
      color,
      lineStyle: { width: 2, type: dash },
      symbol: "circle",
      symbolSize: 4,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
