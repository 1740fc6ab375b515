/**
 * A process that Bargate is connected to, once it is seen to be the importer.
 *
 * @module
 */
import type { ImporterChannel } from "./channel.ts";
import type { Fd } from "./fd.ts";
import type { ImporterEnd, ImporterProcess } from "./importer_process.ts";
import type { Kernel, ProcessIdentity, Watch } from "./kernel.ts";

/** A connection, and the process that it leads to. */
export interface Connection {
  readonly kernel: Kernel;
  readonly channel: ImporterChannel;
  readonly pidfd: Fd;
}

/** The importer at the other end. It is not Bargate's: it is told, never signalled. */
export class PeerProcess implements ImporterProcess {
  readonly channel: ImporterChannel;
  readonly begun: ImporterProcess["begun"];
  readonly inherits = false;
  readonly ended: Promise<ImporterEnd>;
  readonly #end: (end: ImporterEnd) => void;
  readonly #pidfd: Fd;
  readonly #watch: Watch;
  readonly #kernel: Kernel;

  /**
   * @param name of the importer in the policy
   * @param connection the process's from here on
   * @param identity as it was checked
   */
  constructor(
    readonly name: string,
    { kernel, channel, pidfd }: Connection,
    { pid, uid, executable }: ProcessIdentity,
  ) {
    this.#kernel = kernel;
    const { promise, resolve } = Promise.withResolvers<ImporterEnd>();
    [this.ended, this.#end] = [promise, resolve];
    this.channel = channel;
    const detail = `process ${pid}, uid ${uid}, ${executable.path}`;
    this.begun = { type: "importer-connected", cause: { source: "send", detail } };
    this.#pidfd = pidfd;
    this.#watch = kernel.watch(pidfd, () => {
      // It stays readable, and would call for ever.
      this.#watch.stop();
      this.#over("pidfd", `process ${pid} has ended`);
    });
  }

  hungUp(): void {
    this.#over("channel", "it has closed the connection");
  }

  nothingLeft(): void {
    this.#over("engine", "all its grants have ended");
  }

  /** It is not Bargate's to end, and nobody waits for it. */
  askToEnd(): undefined {
    this.#over("engine", "Bargate ends");
  }

  close(): void {
    this.#watch.stop();
    try {
      this.channel.close();
    } finally {
      if (this.#pidfd.open) this.#kernel.close(this.#pidfd);
    }
  }

  #over(source: string, detail: string): void {
    this.#end({ cause: { source, detail } });
  }
}
