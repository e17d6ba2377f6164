// Draws bench/record/train.svg: the loss of a training with sparse-xent/tfjs and of one with one-hot labels, over the time that each takes. Imports echarts.
import * as echarts from "echarts";

// Legible on a light page and on a dark one.
const ink = "#808080";
const grid = "rgba(128, 128, 128, 0.25)";
const colors = ["#3578c2", "#d98032"];

/**
 * @param {readonly { name: string, curve: readonly number[], secondsPerStep: number }[]} trainings
 * @param {string} about one line under the picture
 * @returns {string} SVG
 */
export function trainPicture(trainings, about) {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 860, height: 380 });
  const axis = { axisLine: { lineStyle: { color: ink } }, axisLabel: { color: ink }, nameTextStyle: { color: ink }, splitLine: { lineStyle: { color: grid } } };
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "sans-serif" },
    grid: { left: 64, right: 24, top: 48, bottom: 76 },
    legend: { top: 8, textStyle: { color: ink }, itemWidth: 36, itemGap: 28 },
    title: { text: about, left: "center", bottom: 4, textStyle: { color: ink, fontSize: 11, fontWeight: "normal" } },
    xAxis: { type: "value", name: "seconds of CPU time", nameLocation: "middle", nameGap: 28, ...axis },
    yAxis: { type: "value", name: "loss", scale: true, ...axis },
    series: trainings.map(({ name, curve, secondsPerStep }, index) => ({
      type: "line",
      name,
      data: curve.map((loss, step) => [Number((step * secondsPerStep).toFixed(3)), Number(loss.toFixed(4))]),
      color: colors[index],
      lineStyle: { width: 2 },
      showSymbol: false,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
