// Marionette, which Firefox listens to with `--marionette`: commands and answers over TCP, each the length of a JSON text, a colon and the text.
// It is the one way to open pages in Firefox that leaves them alone. WebDriver BiDi does not: as long as one of its sessions lasts, Firefox tells it of
// workers, and a worker that makes another waits until that one has been told of. In Firefox 153 both then wait on one condition variable, the maker for this
// and the new worker for its first task, and of the two only one is woken: now and then `new Worker` in a worker never returned. Runs in Node.
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** `[1, id, error, value]` answers the command `[0, id, name, parameters]`. */
type Answer = readonly [kind: 1, id: number, error: { readonly error: string; readonly message: string } | null, value: unknown];

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A session with one Firefox. */
export class Marionette {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #received: Buffer = Buffer.alloc(0);
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (part: Buffer) => this.#receive(part));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("Firefox has closed the connection"));
      this.#waiting.clear();
    });
  }

  static async connect(port: number): Promise<Marionette> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const marionette = new Marionette(socket);
    // Pages are waited for until they are parsed.
    await marionette.#ask("WebDriver:NewSession", { capabilities: { alwaysMatch: { pageLoadStrategy: "eager" } } });
    return marionette;
  }

  /** Shows a page in a new tab, in front of the others. */
  async open(url: string): Promise<void> {
    const { handle } = (await this.#ask("WebDriver:NewWindow", { type: "tab", focus: true })) as { readonly handle: string };
    await this.#ask("WebDriver:SwitchToWindow", { handle });
    await this.#ask("WebDriver:Navigate", { url });
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(name: string, parameters: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      const text = JSON.stringify([0, id, name, parameters]);
      this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
  }

  #receive(part: Buffer): void {
    this.#received = Buffer.concat([this.#received, part]);
    for (;;) {
      const start = this.#received.indexOf(":") + 1;
      const end = start + Number(this.#received.toString("latin1", 0, start - 1));
      if (start === 0 || this.#received.length < end) return;
      const message = JSON.parse(this.#received.toString("utf8", start, end)) as Answer | object;
      this.#received = this.#received.subarray(end);
      // The first message is a greeting, which answers nothing.
      if (Array.isArray(message)) this.#settle(message as unknown as Answer);
    }
  }

  #settle([, id, error, value]: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(`${error.error}: ${error.message}`));
    else waiting?.resolve(value);
  }
}
