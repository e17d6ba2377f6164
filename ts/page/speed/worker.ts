// The worker of "Speed here": what `npm run bench` does, with fewer rows and rounds. May import tfjs, shapes and the bench's parts.
import { expose } from "comlink";
import { load, type Engine, type EngineInfo } from "sparse-xent";
import { plainLoop } from "../../../bench/speed/baseline.mjs";
import { ordinary, type Shape } from "../../../bench/speed/cases.mjs";
import { contest, type Outcome } from "../../../bench/speed/contest.mjs";
import type { Candidate } from "../../../bench/speed/judge.mjs";
import { ours } from "../../../bench/speed/ours.mjs";
import { measuredShapes } from "./shapes.ts";
import { openTfjs, type Tfjs } from "./tfjs.ts";

/** Clocks of pages are coarse, a millisecond in some: what is timed lasts many of their steps. */
const leastMs = 20;

export interface Line {
  readonly shape: string;
  readonly why: string;
  readonly rows: number;
  readonly classes: number;
  readonly outcomes: readonly Outcome[];
}

/** What is copied as JSON. */
export interface Figures {
  readonly date: string;
  readonly userAgent: string;
  readonly processors: number;
  readonly isolated: boolean;
  readonly engine: EngineInfo;
  readonly tfjs: string;
  readonly rounds: number;
  readonly lines: readonly Line[];
}

/** Measures all shapes with at most so many logits each; `told` hears of progress and `line` of every shape that is done. */
async function measure(most: number, rounds: number, told: (progress: string) => void, line: (line: Line) => void): Promise<Figures> {
  told("Loading TensorFlow.js…");
  const tfjs = await openTfjs().catch((error: unknown) => String(error));
  told("Starting the engine…");
  // One of each serves every shape.
  const whole = await load();
  const engine = whole.info;
  const engines = engine.threads === 1 ? [whole] : [await load({ threads: 1 }), whole];
  const lines: Line[] = [];
  for (const shape of measuredShapes(most)) {
    const done = { shape: shape.name, why: shape.why, rows: shape.rows, classes: shape.classes, outcomes: await oneShape(shape, engines, tfjs, rounds, told) };
    lines.push(done);
    line(done);
  }
  return {
    date: new Date().toISOString(),
    userAgent: navigator.userAgent,
    processors: navigator.hardwareConcurrency,
    isolated: crossOriginIsolated,
    engine,
    tfjs: typeof tfjs === "string" ? tfjs : `${tfjs.version}, ${tfjs.threads} ${tfjs.threads === 1 ? "thread" : "threads"}`,
    rounds,
    lines,
  };
}

async function oneShape(shape: Shape, engines: readonly Engine[], tfjs: Tfjs | string, rounds: number, told: (progress: string) => void): Promise<Outcome[]> {
  const data = ordinary(shape);
  const mine = await Promise.all(
    engines.map((engine) => ours(shape, data, { build: engine.info.build, threads: engine.info.threads, what: ["loss+grad"], engine })),
  );
  const losses = new Float32Array(shape.rows);
  const grad = new Float32Array(data.logits.length);
  const loop = (): number => plainLoop(shape, data, losses, grad);
  const plain: Candidate = {
    what: "plain loop",
    run: loop,
    results: () => ({ mean: loop(), losses, grad, factor: 1 / shape.rows }),
    tolerance: { relative: 1e-4, absolute: 1e-6 },
  };
  // Its classes are last.
  const theirs = typeof tfjs === "string" || shape.inner > 1 ? undefined : tfjs.prepare(shape, data);
  try {
    return contest(shape, data, [...mine.flatMap(({ candidates }) => candidates), plain, ...(theirs ? [theirs.candidate] : [])], { rounds, told, leastMs });
  } finally {
    theirs?.drop();
    for (const { drop } of mine) drop();
  }
}

export type SpeedWorker = { readonly measure: typeof measure };
expose({ measure } satisfies SpeedWorker);
