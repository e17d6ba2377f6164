// What a record of speed keeps of a run: what the page, the README, the picture and the targets read. All else was printed.

const jobs = ["loss", "loss+grad", "in place", "accumulate"];
/** The baseline's own gradient is drawn and in a table; its other jobs are in the ratios of ours. */
const besideJobs = [...jobs, "unrolled loss+grad", "naive loss+grad", "copy", "plain loop"];
const ratios = ["unrolled", "naive"];

/**
 * By part: the fields of a measurement, and whose measurements; of parts that are not named, all. `naive` and the counts of classes in `growth` are of older records.
 * @type {Readonly<Record<string, { fields: readonly string[], what?: readonly string[] }>>}
 */
const kept = {
  kernels: { fields: ["shape", "what", "build", "threads", "best", ...ratios, "lossError", "gradError"], what: besideJobs },
  classes: { fields: ["shape", "what", "build", "threads", "classes", "nsPerLogit", ...ratios], what: besideJobs },
  planes: { fields: ["shape", "what", "build", "threads", ...ratios], what: jobs },
  dtypes: { fields: ["shape", "what", "build", "dtype", "ratio"] },
  options: { fields: ["shape", "what", "build", "option", "cost"] },
  adversarial: { fields: ["shape", "what", "build", "rows", "cost"] },
  threads: { fields: ["shape", "what", "threads", "best", "faster", "fasterMedian", "small"] },
  growth: { fields: ["what", "build", "rows", "best", "classes", "nsPerLogit", "answer"] },
  native: { fields: ["shape", "what", "build", "dtype", "kernel", "wasm"] },
};

/** @param {Readonly<Record<string, unknown>>} parts results by part @returns {Record<string, any>} */
export function keep(parts) {
  const entries = Object.entries(parts).map(([part, results]) => {
    const form = kept[part];
    if (form === undefined || !Array.isArray(results)) return [part, results];
    const measured = results.filter(({ what }) => form.what?.includes(what) ?? true);
    return [part, measured.map((each) => Object.fromEntries(form.fields.flatMap((field) => (each[field] === undefined ? [] : [[field, each[field]]]))))];
  });
  return Object.fromEntries(entries);
}
