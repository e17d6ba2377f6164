// The coordinator: the worker that runs asynchronous calls, since it may wait and its owner's event loop may not.
// In a browser whose main thread owns the engine it also builds the pool, for the same reason; the helpers are still started by
// the owner, which can then see their errors and end them.
import { instantiate, poison, storePoison, takeTicket, type GlueEnvironment } from "./instance.js";
import { CALLED_OFF, reasonOf, type Boot, type Line, type ToCoordinator } from "./messages.js";

/** Boots the coordinator and answers calls, one after the other, in the order in which they came. */
export async function serveCalls(boot: Boot, line: Line): Promise<void> {
  let spawned: (() => void) | undefined;
  const startWorkers: GlueEnvironment["startWorkers"] = async (_module, _memory, builder) => {
    const arrival = new Promise<void>((resolve) => void (spawned = resolve));
    line.post({ type: "spawn", helpers: builder.numThreads(), receiver: builder.receiver() });
    await arrival;
    builder.build();
    builder.free();
  };
  const glue = instantiate(boot.module, boot.memory, startWorkers);
  const control = glue.control();

  const answer = (id: number, call: () => number): void => {
    try {
      line.post({ type: "done", id, code: call() });
    } catch (error) {
      storePoison(boot.memory, control, poison.trapped);
      line.post({ type: "lost", reason: reasonOf(error) });
    }
  };
  line.listen((message: ToCoordinator) => {
    switch (message.type) {
      case "spawned":
        return spawned?.();
      case "run":
        return answer(message.id, () => (takeTicket(boot.memory, message.ticket) ? glue.run(message.block) : CALLED_OFF));
      case "fault":
        return answer(message.id, () => glue.inject_fault(message.kind, message.threads));
      default:
        message satisfies never;
    }
  });

  if (boot.helpers) await glue.initThreadPool(boot.helpers);
  line.post({ type: "ready" });
}
