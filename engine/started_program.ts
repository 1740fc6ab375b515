/**
 * The importer as a child of Bargate (`export --exec`): it gets its buffers and its channel by the
 * systemd convention.
 *
 * @module
 */
import { ImporterChannel } from "./channel.ts";
import { RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type {
  AskedProcess,
  GivenBuffer,
  ImporterContext,
  ImporterEnd,
  ImporterProcess,
  ImporterSource,
} from "./importer_process.ts";
import type { Child, ChildEnd, Kernel, Watch } from "./kernel.ts";
import type { Recipient } from "./recipient.ts";
import { explained, refusedBy } from "./refusal.ts";

/** Name of the importer channel in `LISTEN_FDNAMES`. */
const CHANNEL_NAME = "bargate";
const SIGTERM = 15;
const SIGKILL = 9;

/** The program to give the grants to. */
export interface Command {
  readonly recipient: Recipient;
  /** The name that it was called by first; the program itself is told its path instead. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdoutToStderr: boolean;
  /** Where its standard output goes instead; stays the caller's. */
  readonly stdout?: Fd;
}

/** A program that is started with its buffers. */
export class StartedProgram implements ImporterSource {
  /**
   * @param name of the importer in the policy
   * @param command what to start; its recipient has been checked
   */
  constructor(readonly name: string, private readonly command: Command) {}

  /** Who it will be was settled with its command. */
  meet(): Promise<void> {
    return Promise.resolve();
  }

  /** @throws {RefusedError} if it cannot be started */
  async start(given: readonly GivenBuffer[], context: ImporterContext): Promise<ImporterProcess> {
    const { kernel } = context;
    const { account } = this.command.recipient;
    const [ours, theirs] = await explained(
      `make the importer channel of ${this.name}`,
      () => kernel.socketPair(`importer channel of ${this.name}`),
    );
    let child: Child | undefined;
    const channel = new ImporterChannel(kernel, ours, {
      sender: () => child === undefined ? undefined : { ...child, ownChild: true },
      discard: context.discard,
      onError: context.onError,
    });
    try {
      kernel.passPidfds(ours);
      child = await this.#spawn(kernel, [...given, { name: CHANNEL_NAME, fd: theirs }]);
    } catch (error) {
      channel.close();
      throw error;
    } finally {
      closeAnyhow(theirs, context);
    }
    const detail = `process ${child.pid}, account ${account.name}`;
    try {
      return new ChildProcess(kernel, { name: this.name, child, channel, detail });
    } catch (error) {
      // Nobody would learn of its end: it must not go on with what it was given.
      kill(child, context);
      channel.close();
      throw refusedBy(`watch process ${child.pid}`, error);
    }
  }

  close(): void {}

  #spawn(kernel: Kernel, fds: readonly { name: string; fd: Fd }[]): Promise<Child> {
    const { recipient, argv, env, stdoutToStderr, stdout } = this.command;
    const { executable: path, account } = recipient;
    const output = { stdoutToStderr, ...(stdout === undefined ? {} : { stdout }) };
    return explained(
      `start ${path}`,
      () => kernel.spawn({ path, argv, env, fds, account, ...output }),
    );
  }
}

/** A close that is refused has closed all the same; nobody else is to pay for it. */
function closeAnyhow(fd: Fd, { kernel, onError }: ImporterContext): void {
  try {
    kernel.close(fd);
  } catch (error) {
    onError(error);
  }
}

/** Ends a program that has only just been started, and reaps it. */
function kill(child: Child, context: ImporterContext): void {
  const { kernel, onError } = context;
  try {
    kernel.signal(child.pidfd, SIGKILL);
    kernel.childEnd(child);
  } catch (error) {
    onError(error);
  }
  closeAnyhow(child.pidfd, context);
}

/** A child that runs. Its end is Bargate's, and whatever becomes of its grants is not. */
class ChildProcess implements ImporterProcess {
  readonly name: string;
  readonly channel: ImporterChannel;
  readonly begun: ImporterProcess["begun"];
  readonly inherits = true;
  readonly ended: Promise<ImporterEnd>;
  readonly #child: Child;
  readonly #watch: Watch;

  constructor(
    private readonly kernel: Kernel,
    started: { name: string; child: Child; channel: ImporterChannel; detail: string },
  ) {
    this.name = started.name;
    this.channel = started.channel;
    this.begun = { type: "importer-started", cause: { source: "exec", detail: started.detail } };
    this.#child = started.child;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#watch = kernel.watch(this.#child.pidfd, resolve);
    this.ended = promise.then(() => this.#end());
  }

  /** A program may close its channel and go on with what it has. */
  hungUp(): void {}

  /** A program goes on when it has nothing any more. */
  nothingLeft(): void {}

  askToEnd(): AskedProcess | undefined {
    if (!this.#signal(SIGTERM)) return undefined;
    const { name } = this;
    return { name, who: `process ${this.#child.pid}`, kill: () => this.#signal(SIGKILL) };
  }

  /** @returns false if it has gone */
  #signal(signal: number): boolean {
    const { pidfd } = this.#child;
    return pidfd.open && this.kernel.signal(pidfd, signal);
  }

  close(): void {
    this.#watch.stop();
    try {
      this.channel.close();
    } finally {
      if (this.#child.pidfd.open) this.kernel.close(this.#child.pidfd);
    }
  }

  #end(): ImporterEnd {
    this.#watch.stop();
    const child = this.kernel.childEnd(this.#child);
    if (child === undefined) {
      throw new RefusedError(`Cannot tell how process ${this.#child.pid} ended`);
    }
    return { child, cause: { source: "pidfd", detail: describeEnd(child) } };
  }
}

function describeEnd(end: ChildEnd): string {
  return end.how === "exited" ? `exit status ${end.status}` : `signal ${end.signal}`;
}
