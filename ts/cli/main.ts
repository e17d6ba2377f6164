// The command `sparse-xent`: options in, exit code out. 0: done; 1: a file or its data is at fault; 2: the command line is wrong.
// Reports go to standard output; errors and warnings, one line each, to standard error.

import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { isSparseXentError, load, type Engine, type LoadOptions } from "../index.js";
import { demo } from "./demo.js";
import { npyDtypes } from "./dtypes.js";
import { Failure, oneLine } from "./failure.js";
import { Outputs } from "./files.js";
import { collectInfo, showInfo } from "./info.js";
import { openInputs } from "./inputs.js";
import { linear, type LinearRequest } from "./linear.js";
import { progressFor } from "./progress.js";
import { jsonReport, textReport, warnings } from "./report.js";
import { score, type ScoreRequest } from "./score.js";

interface EngineOptions {
  readonly threads: number | "auto";
  readonly build: "auto" | "simd" | "relaxed";
}

interface ScoreOptions extends EngineOptions, Omit<ScoreRequest, "logits" | "labels"> {
  readonly json?: true;
}

interface DemoOptions extends EngineOptions {
  readonly batch: number;
}

const defaultChunkBytes = 128 * 2 ** 20;

const scoreExamples = `
LOGITS holds scores, (N, C) or (B, T, C) or (B, H, W, C): float32, float16 or
float64. The classes are on the last axis, or on --axis, as in (B, C, H, W) with
--axis 1. LABELS holds one integer per row, in the logits' shape without the
classes: 8 to 64 bits, signed or not. Both are .npy files as np.save writes them
(C order, little-endian), or arrays of an .npz archive: data.npz:logits names
one; without a name, the archive's only array is taken, or the one called
logits, labels, class_weight or sample_weight. They are read piece by piece:
files may be larger than memory.

Weights must be finite and at least 0; those of ignored rows are not looked at.
The mean divides by the sum of class weight * sample weight over the rows that
are not ignored. --grad writes the gradient of the reduced loss (float32, or
float64 for float64 logits), --loss the weighted row losses; an output appears
whole or not at all.

Exit code: 0 done; 1 a file or its data is at fault; 2 wrong command line.

Examples:
  $ sparse-xent score logits.npy labels.npy
  $ sparse-xent score logits.npy labels.npy --ignore-index -100
  $ sparse-xent score logits.npy maps.npy --axis 1 --class-weight balanced
  $ sparse-xent score data.npz:logits data.npz:labels --grad grad.npy
  $ sparse-xent score logits.npy labels.npy --json | jq .perplexity`;

const mainExamples = `
Examples:
  $ sparse-xent score logits.npy labels.npy
  $ sparse-xent info
  $ sparse-xent demo
  $ sparse-xent linear
  $ sparse-xent help score`;

/** Runs one command line; returns the exit code. Never rejects. */
async function run(args: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has printed its message
    if (error instanceof Failure) return complain(error.message, 1);
    if (isSparseXentError(error)) return complain(oneLine(error.message), 1);
    const message = error instanceof Error ? error.message : String(error);
    return complain(`this is a bug in sparse-xent: ${oneLine(message)}`, 1);
  }
}

function program(): Command {
  const command = new Command("sparse-xent")
    .description("Sparse softmax cross-entropy of integer labels: loss and gradient of logits in .npy or .npz files.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureHelp({ showGlobalOptions: false })
    .showHelpAfterError("(sparse-xent --help shows how it is used)")
    .exitOverride()
    .addHelpText("after", mainExamples);
  const scoring = command
    .command("score")
    .summary("score logits against labels")
    .description("Mean loss, perplexity, accuracy, a table per class and the gradient's norm.")
    .argument("<LOGITS.npy>", "scores, classes on the last axis or --axis")
    .argument("<LABELS.npy>", "one integer per row")
    .showHelpAfterError("(sparse-xent score --help shows how it is used)")
    .addOption(new Option("--axis <N>", "axis of the classes, negative from the end").argParser(integer).default(-1))
    .option("--class-weight <FILE|balanced>", "one weight per class (.npy), or weights that even out the classes")
    .option("--sample-weight <FILE>", "one weight per row (.npy)")
    .addOption(new Option("--ignore-index <N>", "label of rows to leave out; may be given more than once").argParser(collectInteger).default([], "none"))
    .option("--label-smoothing <E>", "share of the target spread over all classes, 0 to 1", unitInterval, 0)
    .addOption(new Option("--reduction <KIND>", "reduction of the loss and of --grad").choices(["none", "sum", "mean"]).default("mean"))
    .option("--grad <OUT.npy>", "write the gradient")
    .option("--loss <OUT.npy>", "write the row losses")
    .option("--json", "print JSON")
    .addOption(new Option("--chunk-bytes <N>", "bytes of logits held at once").argParser(positiveInteger).default(defaultChunkBytes).hideHelp())
    .addHelpText("after", scoreExamples)
    .action(runScore);
  const informing = command
    .command("info")
    .summary("what this machine and engine can do")
    .description("Node, processors, builds, threads and memory, as the engine finds them.")
    .showHelpAfterError("(sparse-xent info --help shows how it is used)")
    .option("--json", "print JSON")
    .action(async (options: EngineOptions & { readonly json?: true }) => {
      await withEngine(options, async (loadEngine) => {
        const info = await collectInfo(await loadEngine());
        process.stdout.write(options.json === true ? `${JSON.stringify(info, undefined, 2)}\n` : showInfo(info));
      });
    });
  const showing = command
    .command("demo")
    .summary("real digits against PyTorch, then a large batch of label maps")
    .description("Scores the digits that come with the package and compares with PyTorch; then times 33-class label maps.")
    .showHelpAfterError("(sparse-xent demo --help shows how it is used)")
    .option("--batch <N>", "images in the large case, 1 to 8", batchSize, 8)
    .action(async (options: DemoOptions) => {
      await withEngine(options, (loadEngine) =>
        demo({ batch: options.batch, chunkBytes: defaultChunkBytes }, loadEngine, (text) => void process.stdout.write(text)),
      );
    });
  const layering = command
    .command("linear")
    .summary("a last layer with its loss, logits never stored")
    .description("Loss and gradients of a made-up layer: time and memory, some rows of logits at a time, a block of classes at a time, and with all of them stored.")
    .option("--rows <N>", "hidden states", positiveInteger, 512)
    .option("--depth <N>", "numbers of a hidden state", positiveInteger, 256)
    .option("--classes <N>", "classes", positiveInteger, 50_257)
    .action(async (options: EngineOptions & LinearRequest) => {
      const use = async <T>(act: (engine: Engine) => T): Promise<T> => {
        const engine = await load({ threads: options.threads, build: options.build });
        try {
          return act(engine);
        } finally {
          await engine.dispose();
        }
      };
      await linear(options, use, (text) => void process.stdout.write(text));
    });
  for (const each of [scoring, informing, showing, layering]) {
    each
      .option("--threads <N|auto>", "threads to compute with", threadCount, "auto")
      .addOption(new Option("--build <NAME>", "WebAssembly build").choices(["auto", "simd", "relaxed"]).default("auto"));
  }
  return command;
}

async function runScore(logits: string, labels: string, options: ScoreOptions): Promise<void> {
  const start = performance.now();
  const request: ScoreRequest = { ...options, logits, labels };
  const outputs = new Outputs();
  const inputs = await openInputs(request);
  const progress = progressFor(inputs.rows, inputs.logits.count * npyDtypes[inputs.logits.dtype].bytes, process.stderr);
  const forget = onSignal(() => {
    progress.stop();
    outputs.discard();
  });
  try {
    await withEngine(options, async (loadEngine) => {
      let engine: Engine | undefined;
      const load = async (): Promise<Engine> => (engine = await loadEngine());
      const found = await score(request, inputs, load, outputs, (rows) => progress.rows(rows));
      await outputs.commit();
      progress.stop();
      const { build, threads, version } = (engine as Engine).info;
      const ran = { build, threads, version, totalMs: performance.now() - start };
      for (const line of warnings(found)) process.stderr.write(`warning: ${line}\n`);
      process.stdout.write(options.json === true ? `${JSON.stringify(jsonReport(request, found, ran), undefined, 2)}\n` : textReport(request, found, ran));
    });
  } finally {
    progress.stop();
    outputs.discard();
    forget();
    await inputs.close();
  }
}

/** Gives `act` a way to start the engine, late, and disposes what was started. */
async function withEngine(options: EngineOptions, act: (loadEngine: () => Promise<Engine>) => Promise<void>): Promise<void> {
  let engine: Engine | undefined;
  try {
    await act(async () => (engine = await load({ threads: options.threads, build: options.build } satisfies LoadOptions)));
  } finally {
    await engine?.dispose();
  }
}

/** Cleans up and ends with the shell's code (128 + signal) when interrupted; returns how to stop listening. */
function onSignal(clean: () => void): () => void {
  const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
  const handlers = Object.entries(signals).map(([signal, code]) => {
    const handler = (): void => {
      clean();
      process.exit(code);
    };
    process.once(signal, handler);
    return () => void process.off(signal, handler);
  });
  return () => handlers.forEach((remove) => remove());
}

function complain(message: string, code: number): number {
  process.stderr.write(`error: ${message}\n`);
  return code;
}

function collectInteger(text: string, before: readonly bigint[]): readonly bigint[] {
  if (!/^[+-]?\d+$/.test(text)) throw new InvalidArgumentError("Expected a whole number, such as -100.");
  return [...before, BigInt(text.replace(/^\+/, ""))];
}

function integer(text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text)) throw new InvalidArgumentError("Expected a whole number, such as 1.");
  return Number(text);
}

function unitInterval(text: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("Expected a number from 0 to 1.");
  return value;
}

function positiveInteger(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("Expected a whole number of at least 1.");
  return value;
}

function threadCount(text: string): number | "auto" {
  if (text === "auto") return text;
  const value = positiveInteger(text);
  if (value > 256) throw new InvalidArgumentError("Expected auto or a whole number from 1 to 256.");
  return value;
}

function batchSize(text: string): number {
  const value = positiveInteger(text);
  if (value > 8) throw new InvalidArgumentError("Expected a whole number from 1 to 8.");
  return value;
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  return manifest.version;
}

/** A reader that has gone (`| head`) is not an error; a full disk under standard output is. */
function watchOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : complain(`standard output: ${oneLine(error.message)}`, 1));
  });
  process.stderr.on("error", () => process.exit(1));
}

watchOutput();
void run(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
